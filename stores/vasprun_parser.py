"""The parts of a vasprun.xml that frames need, as expat reads them; everything else passes by without being built.

An output's bulk is eigenvalues and densities of states: no element of them is made. Document types and entities are
refused where they begin, so that no file can grow while it is read.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NoReturn
from xml.parsers import expat  # nosec - no entity is ever expanded, see _refuse_type

_DEEPEST = 32
_LONGEST_TEXT = 1 << 24
_IN_CALCULATION = frozenset({"structure", "varray", "scstep", "energy"})
_AROUND = frozenset({"generator", "incar", "kpoints", "parameters", "atominfo"})
_LEAVES = frozenset({"i", "v", "c"})


@dataclass
class Calculation:
    """One complete <calculation>.

    Attributes
    ----------
    rows : name of a varray -> text of its rows (basis, positions, forces, stress among them).
    energies : of the ionic step, by name.
    last_scf : energies of its last electronic step, by name.
    n_scf : electronic steps.
    """

    rows: dict[str, list[str]] = field(default_factory=dict)
    energies: dict[str, str] = field(default_factory=dict)
    last_scf: dict[str, str] = field(default_factory=dict)
    n_scf: int = 0


@dataclass
class Around:
    """What stands around the calculations; each part is there once its element has ended.

    Attributes
    ----------
    generator, incar, parameters : name -> value as printed.
    divisions : of an automatic k-mesh, as printed.
    atoms, atom_types : rows of the two tables of <atominfo>, cells as printed.
    """

    generator: dict[str, str] = field(default_factory=dict)
    incar: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    divisions: str = ""
    atoms: list[list[str]] = field(default_factory=list)
    atom_types: list[list[str]] = field(default_factory=list)


class VasprunParser:
    """Feed it a file's bytes; take complete calculations from `ready`.

    Attributes
    ----------
    ready : calculations that have ended, oldest first.
    around : what was read around them.
    """

    def __init__(self) -> None:
        self.ready: deque[Calculation] = deque()
        self.around = Around()
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._refuse_type
        self._parser.EntityDeclHandler = self._refuse_type
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._depth = self._skipped_from = 0
        self._part = self._table = self._varray = ""
        self._name: str | None = None
        self._text: list[str] = []
        self._length = 0
        self._row: list[str] = []
        self._in_scf = False
        self._current = Calculation()
        self._fresh = Around()

    def feed(self, chunk: bytes) -> None:
        """Parse more of the file.

        Raises
        ------
        expat.ExpatError
            If it is not well formed.
        ValueError
            If it is not as VASP writes it: a document type, elements too deep, a text too long.
        """
        self._parser.Parse(chunk, False)

    def close(self) -> None:
        """Say that the file ends here; raises as `feed` does where it must not."""
        self._parser.Parse(b"", True)

    def _refuse_type(self, *_: object) -> NoReturn:
        raise ValueError("a document type is declared, which VASP never does")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        depth = self._depth
        if depth == 2:
            self._part = tag
            if tag == "calculation":
                self._current = Calculation()
            elif tag in _AROUND:
                self._fresh = Around()
            else:
                self._skip()
        elif self._part == "calculation":
            self._start_in_calculation(tag, attributes, depth)
        elif tag in _LEAVES:
            self._begin_text(attributes.get("name"))
        elif tag == "array":
            self._table = attributes.get("name", "")
        elif tag == "rc":
            self._row = []
        elif tag == "varray":
            self._skip()
        elif depth > _DEEPEST:
            self._refuse_depth()

    def _start_in_calculation(self, tag: str, attributes: dict[str, str], depth: int) -> None:
        if tag in _LEAVES:
            self._begin_text(attributes.get("name"))
        elif depth == 3 and tag not in _IN_CALCULATION:
            self._skip()
        elif tag == "varray":
            self._varray = attributes.get("name", "")
            self._current.rows[self._varray] = []
        elif tag == "scstep":
            self._in_scf = True
            self._current.n_scf += 1
            self._current.last_scf = {}
        elif depth > _DEEPEST:
            self._refuse_depth()

    def _refuse_depth(self) -> NoReturn:
        raise ValueError(f"elements lie more than {_DEEPEST} deep, which VASP never writes")

    def _begin_text(self, name: str | None) -> None:
        self._name, self._length = name, 0
        self._text.clear()
        self._parser.CharacterDataHandler = self._take_text

    def _take_text(self, text: str) -> None:
        self._length += len(text)
        if self._length > _LONGEST_TEXT:
            raise ValueError(f"a value is longer than {_LONGEST_TEXT} letters, which VASP never writes")
        self._text.append(text)

    def _skip(self) -> None:
        """Pass over an element with all that is in it."""
        self._skipped_from = self._depth
        self._parser.StartElementHandler = self._start_skipped
        self._parser.EndElementHandler = self._end_skipped

    def _start_skipped(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            self._refuse_depth()

    def _end_skipped(self, tag: str) -> None:
        if self._depth == self._skipped_from:
            self._parser.StartElementHandler = self._start
            self._parser.EndElementHandler = self._end
        self._depth -= 1

    def _end(self, tag: str) -> None:
        self._depth -= 1
        if tag in _LEAVES:
            self._parser.CharacterDataHandler = None
            self._value(tag, "".join(self._text).strip())
        elif self._depth == 1:
            self._end_part()
        elif tag == "varray":
            self._varray = ""
        elif tag == "scstep":
            self._in_scf = False
        elif tag == "rc":
            rows = {"atoms": self._fresh.atoms, "atomtypes": self._fresh.atom_types}.get(self._table)
            if rows is not None:
                rows.append(self._row)

    def _value(self, tag: str, text: str) -> None:
        name = None if self._name is None else self._name.strip()
        if self._part == "calculation":
            if self._varray:
                self._current.rows[self._varray].append(text)
            elif name is not None:
                (self._current.last_scf if self._in_scf else self._current.energies)[name] = text
        elif tag == "c":
            self._row.append(text)
        elif self._part == "kpoints":
            if name == "divisions":
                self._fresh.divisions = text
        elif name is not None:
            named = {"generator": self._fresh.generator, "incar": self._fresh.incar}
            named.get(self._part, self._fresh.parameters)[name] = " ".join(text.split())

    def _end_part(self) -> None:
        part, fresh = self._part, self._fresh
        if part == "calculation":
            self.ready.append(self._current)
        elif part == "atominfo":
            self.around.atoms, self.around.atom_types = fresh.atoms, fresh.atom_types
        elif part == "kpoints":
            self.around.divisions = fresh.divisions
        else:
            named = {"generator": fresh.generator, "incar": fresh.incar, "parameters": fresh.parameters}
            setattr(self.around, part, named[part])
