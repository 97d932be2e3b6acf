"""Hostile input: well-formed files, and ways to spoil them that hypothesis searches and shrinks."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from hypothesis import strategies as st

MARK = "fuzz-was-here"
"""What code hidden in an input would leave behind."""

BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(12))
    + b"]><modeling>&m;</modeling>"
)
TOKENS = (
    *(b"1e999", b"-1", b"nan", b"inf", b"0", b"999999999999", b"1e12", b"0x7fffffff", b"****", b"true", b"null"),
    *(b"", b" ", b"\n", b"\x00", b"\xff\xfe", b"\xe2\x80\xae", b"'", b'"', b"{", b"}", b"[", b"]", b"<", b">", b"&"),
    *(b"../../../../tmp/" + MARK.encode(), b"/etc/passwd", b"~/x", b"$(touch " + MARK.encode() + b")", b"`id`; id |"),
    b"!!python/object/apply:os.system ['touch " + MARK.encode() + b"']",
    b"!!python/name:os.system",
    b"__import__('os').system('touch " + MARK.encode() + b"')",
    b"&a [*a, *a]",
    b"&a [1,1,1,1,1,1,1,1] &b [*a,*a,*a,*a,*a,*a,*a,*a]",
    b"[" * 3000,
    b"{a: " * 500,
    b"a" * 5000,
    BOMB,
    b'<!ENTITY x SYSTEM "file:///etc/passwd">',
    b'{"@module": "os", "@class": "system", "command": "touch ' + MARK.encode() + b'"}',
    b"cos\nsystem\n(S'touch " + MARK.encode() + b"'\ntR.",
    b'Lattice="1 0 0 0 1 0 0 0 1" Properties=species:S:1:pos:R:999999999',
)
CONDITIONS = (
    *("fraction", "formula", "x", "energy_per_atom", "step", "no_such_field", "_id", "$where", "a.b.c"),
    *("and", "or", "not", "in", "(", ")", "=", "!=", "<", ">=", ",", "1/2", "0.5", "'Na'", '"', "null", "true", "--"),
    *("1e999", "[", "]", "{$gt: 1}", "; drop table frames", "\x00", "é", "((((", "not not not"),
)


def conditions() -> st.SearchStrategy[str]:
    """Texts for `query --where`."""
    words = st.lists(st.sampled_from(CONDITIONS), min_size=1, max_size=30).map(" ".join)
    return st.one_of(words, st.text(max_size=200), st.integers(1, 2000).map(lambda n: "(" * n + "x = 1" + ")" * n))


@st.composite
def spoiled(draw, whole: bytes) -> bytes:
    """A well-formed file after one to six changes."""
    content = whole
    for _ in range(draw(st.integers(1, 6))):
        content = _changed(draw, content)
    return content


def _changed(draw, content: bytes) -> bytes:
    at = draw(st.integers(0, len(content)))
    length = draw(st.integers(0, min(200, len(content) - at)))
    match draw(st.sampled_from(["token", "number", "cut", "end", "double", "byte", "line"])):
        case "token":
            return content[:at] + draw(st.sampled_from(TOKENS)) + content[at + length :]
        case "number":
            return _other_number(content, at, draw(st.sampled_from(TOKENS[:11])))
        case "cut":
            return content[:at] + content[at + length :]
        case "end":
            return content[:at]
        case "double":
            return content[:at] + content[at : at + length] * draw(st.integers(2, 50)) + content[at + length :]
        case "byte":
            return content[:at] + draw(st.binary(min_size=1, max_size=4)) + content[at + 1 :]
        case _:
            lines = content.splitlines(keepends=True) or [b""]
            one = draw(st.integers(0, len(lines) - 1))
            other = draw(st.integers(0, len(lines) - 1))
            lines[one], lines[other] = lines[other], lines[one]
            return b"".join(lines)


def _other_number(content: bytes, at: int, number: bytes) -> bytes:
    """The next number behind a place, replaced."""
    digits = b"0123456789"
    start = next((i for i in range(at, len(content)) if content[i : i + 1] in [bytes([d]) for d in digits]), None)
    if start is None:
        return content
    end = start
    while end < len(content) and content[end] in b"0123456789.":
        end += 1
    return content[:start] + number + content[end:]


CAMPAIGN = b"""\
name: small
host: olivine-NaFePO4
supercell: [1, 1, 1]
couple: Fe2+/Fe3+
working_ion: {Na: {fraction: 1/2, orderings: {all: true}}}
charge: {sample: 2, seed: 1}
protocol: paper-2026
launch: {workers: 2, incar: {NCORE: 4}, remote: {project: mine, resources: {nodes: 1, time: "1:00:00"}}}
accept: {failed_at_most: 0.1}
"""


def whole_files(folder: Path) -> Mapping[str, bytes]:
    """A well-formed file of every kind, written by the programs that write them; VASP's by the stand-in."""
    from ase.build import bulk
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write
    from valenceflow.inputs.hosts import get_host
    from valenceflow.potentials.weight_files import WeightFile, write_weights

    structure = get_host("olivine-NaFePO4").structure.copy()
    atoms = bulk("FeO", "rocksalt", 4.3)
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=atoms.positions * 0.1)
    write(folder / "set.extxyz", [atoms] * 2)
    import torch

    weights = WeightFile("valenceflow-cpainn", 1, {"architecture": {"features": 8}}, {"w": torch.zeros(3)})
    write_weights(folder / "weights.pt", weights)
    files = {
        "campaign.yaml": CAMPAIGN,
        "crystal.cif": structure.relabel_sites().to(fmt="cif").encode(),
        "POSCAR": structure.to(fmt="poscar").encode(),
        "set.extxyz": (folder / "set.extxyz").read_bytes(),
        "weights.pt": (folder / "weights.pt").read_bytes(),
        "manifest.json": _manifest(folder),
        "store.yaml": b"JOB_STORE:\n  docs_store: {type: SQLiteStore, path: s.sqlite, collection: jobs}\n"
        b"  additional_stores: {data: {type: SQLiteStore, path: s.sqlite, collection: data, key: blob_uuid}}\n",
    }
    return files | _vasp_outputs(folder)


def _manifest(folder: Path) -> bytes:
    from valenceflow.flows.campaign_file import read_campaign
    from valenceflow.flows.manifest import MANIFEST_FILE, write_manifest
    from valenceflow.flows.plan import plan_configurations

    (folder / "campaign.yaml").write_bytes(CAMPAIGN)
    campaign = read_campaign(folder / "campaign.yaml")
    campaign.folder.mkdir(exist_ok=True)
    write_manifest(campaign.folder, "small", plan_configurations(campaign, "vasp"))
    return (campaign.folder / MANIFEST_FILE).read_bytes()


def _vasp_outputs(folder: Path) -> dict[str, bytes]:
    """vasprun.xml and OUTCAR of a short run."""
    from pymatgen.core import Lattice, Structure
    from valenceflow.flows.rehearsal.command import rehearsal_command

    run = folder / "run"
    run.mkdir()
    structure = Structure(Lattice.cubic(4.3), ["Fe", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    structure.to(fmt="poscar", filename=str(run / "POSCAR"))
    (run / "INCAR").write_text(
        "ISPIN = 2\nMAGMOM = 4 0\nNSW = 2\nIBRION = 2\nEDIFFG = -0.03\nLORBIT = 11\nENCUT = 400\n"
    )
    (run / "KPOINTS").write_text("k\n0\nGamma\n1 1 1\n")
    from valenceflow.flows.rehearsal.potcars import write_stub_potcars

    stubs = Path(write_stub_potcars(folder / "potcars"))
    texts = [next(stubs.rglob(f"{label}/POTCAR")).read_bytes() for label in ("Fe_pv", "O")]
    (run / "POTCAR").write_bytes(b"".join(texts))
    subprocess.run(rehearsal_command("springs", steps=2).split(), cwd=run, check=True, capture_output=True)
    return {name: (run / name).read_bytes() for name in ("vasprun.xml", "OUTCAR")}
