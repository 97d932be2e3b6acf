"""`valenceflow init`: a commented campaign file to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TEMPLATE = """\
# A valenceflow campaign: run it with `valenceflow run {file}`; without VASP add `--engine rehearsal`.
name: {name}                      # results go to the folder {name}/ beside this file
host: {host}       # a shipped host, or a CIF beside this file
supercell: [1, 1, 1]              # or a 3x3 matrix
couple: Fe2+/Fe3+                 # also Mn2+/Mn3+, Co2+/Co3+, Ni2+/Ni3+, V3+/V4+, or your own (couples: FILE)
# oxidation_states: {{Na: 1, P: 5, O: -2}}   # needed for a CIF: every element but the redox one
working_ion:
  Na:
    fraction: [1/2]               # occupied sites / sites of the full host; a number, a fraction or a list
    orderings: {{all: true}}        # or {{sample: N, seed: S}}, or {{file: ordering.cif}}
charge: {{all: true}}               # for EACH of them: or {{sample: N, seed: S, reference: FILE}}, or free
protocol: paper-2026              # or dtu-polyanion, or a YAML of your own that `extends` one
end_members: true                 # adds x = 0 and x = 1, which relative energies need
launch: {{workers: 2}}
"""


def init(
    file: Annotated[Path, typer.Argument(help="The file to write.")] = Path("campaign.yaml"),
    host: Annotated[str, typer.Option(help="A shipped host, or a CIF.")] = "olivine-NaFePO4",
) -> None:
    """Write a commented campaign file."""
    if file.exists():
        raise ValueError(f"{file} exists; name another file")
    file.write_text(TEMPLATE.format(name=file.stem, file=file, host=host), encoding="utf-8")
    typer.echo(f"{file} written; next: valenceflow run {file} --engine rehearsal")
