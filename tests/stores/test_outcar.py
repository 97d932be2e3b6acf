"""OUTCARs of real VASP runs: moments and SCF flags of every ionic step, and files that were cut off anywhere."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from pymatgen.io.vasp import Outcar, Vasprun
from valenceflow.stores.outcar import read_outcar
from valenceflow.stores.provenance import engine_of

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "real-vasp"
needs_real_outputs = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real VASP outputs in {REAL}")
RUNS = {"fe2o2": (28, 4, "5.3.5", 82.845), "io": (3, None, "6.4.2", None)}


@needs_real_outputs
@pytest.mark.parametrize("run", RUNS)
def test_every_ionic_step_has_its_moments_and_the_repeated_table_is_no_step(run):
    n_steps, n_sites, version, elapsed = RUNS[run]
    record = read_outcar(REAL / run / "OUTCAR.gz")
    assert len(record.steps) == n_steps
    assert all(step.complete and step.scf_converged for step in record.steps)
    sizes = {len(step.magmoms) for step in record.steps}
    assert len(sizes) == 1
    assert n_sites is None or sizes == {n_sites}
    assert record.version == version
    assert elapsed is None or record.elapsed_s == elapsed
    assert engine_of(record.version).name == "vasp"


@needs_real_outputs
@pytest.mark.parametrize("run", RUNS)
def test_last_moments_are_those_that_pymatgen_reads(run):
    ours = read_outcar(REAL / run / "OUTCAR.gz").steps[-1].magmoms
    assert ours == [site["tot"] for site in Outcar(REAL / run / "OUTCAR.gz").magnetization]


@needs_real_outputs
def test_as_many_steps_as_vasprun_has():
    vasprun = Vasprun(REAL / "fe2o2" / "vasprun.xml.gz", parse_dos=False, parse_eigen=False, parse_potcar_file=False)
    assert len(read_outcar(REAL / "fe2o2" / "OUTCAR.gz").steps) == vasprun.nionic_steps


@needs_real_outputs
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_an_outcar_cut_off_anywhere_is_read_as_far_as_it_goes(suffix, tmp_path):
    whole = gzip.decompress((REAL / "fe2o2" / "OUTCAR.gz").read_bytes())
    complete = read_outcar(REAL / "fe2o2" / "OUTCAR.gz").steps
    packed = gzip.compress(whole, compresslevel=1) if suffix else whole
    path = tmp_path / f"OUTCAR{suffix}"
    for cut in np.linspace(0, len(packed) * 0.98, 24).astype(int):
        path.write_bytes(packed[:cut])
        steps = read_outcar(path).steps
        done = [step for step in steps if step.complete]
        assert [step.magmoms for step in done] == [step.magmoms for step in complete[: len(done)]]
        assert all(not step.complete for step in steps[len(done) :])
        assert len(steps) <= len(done) + 1


TABLE = """\
 vasp.6.4.2 20Jul23 (build) complex
--------------------------------------- Iteration      1(   1)  ---------------------------------------
------------------------ aborting loop because EDIFF is reached ----------------------------------------
 magnetization (x)

# of ion       s       p       d       tot
------------------------------------------
    1        0.010   0.012   4.308   4.330
    2       -0.010  -0.012  -3.750  -3.772
--------------------------------------------------
tot          0.000   0.000   0.558   0.558

      LOOP+:  cpu time   10.0: real time   10.0
                         Elapsed time (sec):       12.500
"""


def record_of(text, tmp_path):
    path = tmp_path / "OUTCAR"
    path.write_text(text)
    return read_outcar(path)


def test_every_place_in_a_table_may_be_where_the_file_ends(tmp_path):
    for end in range(len(TABLE)):
        record = record_of(TABLE[:end], tmp_path)
        moments = record.steps[0].magmoms if record.steps else None
        assert moments in (None, [4.33, -3.772])  # never part of a table, never part of a number
    assert record_of(TABLE, tmp_path).elapsed_s == 12.5


def test_a_loop_that_ended_at_nelm_is_not_converged(tmp_path):
    text = TABLE.replace("because EDIFF is reached", "EDIFF was not reached (unconverged)")
    assert not record_of(text, tmp_path).steps[0].scf_converged


def test_a_step_without_a_table_has_no_moments(tmp_path):
    head, _, rest = TABLE.partition(" magnetization (x)")
    step = record_of(head + rest[rest.index("      LOOP+") :], tmp_path).steps[0]
    assert (step.magmoms, step.complete) == (None, True)


def test_an_empty_file_holds_nothing(tmp_path):
    record = record_of("", tmp_path)
    assert (record.steps, record.version, record.elapsed_s) == ([], None, None)


@pytest.mark.parametrize(
    ("version", "name"),
    [
        ("6.4.2", "vasp"),
        ("5.4.4.18Apr17-6-g9f103f2a35", "vasp"),
        ("6.4.0-rehearsal-springs", "rehearsal:springs"),
        ("6.4.0-rehearsal-chgnet-states", "rehearsal:chgnet-states"),
    ],
)
def test_the_engine_is_read_from_the_version_string(version, name):
    assert engine_of(version).name == name
