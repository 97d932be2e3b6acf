"""The messages by which custodian knows a fault of VASP, where in a run VASP prints them, and whether it goes on.

The keys are custodian's (VaspErrorHandler, StdErrHandler, MeshSymmetryErrorHandler, UnconvergedErrorHandler); a test
holds the table against the installed custodian. Where VASP's versions differ in what they do, the harsher is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Stage = Literal["reading", "setup", "scf", "ionic"]
"""reading: before any output; setup: after the heads of the files; scf: within an ionic step; ionic: after it."""


@dataclass(frozen=True)
class Message:
    """One message.

    Parameters
    ----------
    text : as VASP prints it, with numbers filled in.
    stage : where in the run.
    fatal : whether VASP stops there.
    on_stderr : printed on standard error, not on standard output and in OUTCAR.
    """

    text: str
    stage: Stage
    fatal: bool = True
    on_stderr: bool = False


def _ibzkpt(text: str) -> Message:
    return Message(f"VERY BAD NEWS! internal error in subroutine IBZKPT: {text}", "setup")


MESSAGES: dict[str, Message] = {
    # while the input is read
    "read_error": Message(
        "Error reading item 'EDIFF' from file INCAR.\nError code was IERR= 5 ... . Found N= 0 data.", "reading"
    ),
    "triple_product": Message(
        "ERROR: the triple product of the basis vectors is negative; exchange two basis vectors", "reading"
    ),
    "spin_polarized_harris": Message("Spin polarized Harris functional dynamics is a good joke.", "reading"),
    "dfpt_ncore": Message("PEAD routines do not work for NCORE, remove the tag NPAR from the INCAR file", "reading"),
    "elf_kpar": Message("ELF: KPAR>1 not implemented, sorry.", "reading"),
    "elf_ncl": Message("WARNING: ELF not implemented for non collinear case", "reading", fatal=False),
    # symmetry and k-points
    "tet": _ibzkpt("Tetrahedron method fails for NKPT<4. NKPT = 1"),
    "ksymm": _ibzkpt("Fatal error detecting k-mesh!! 3"),
    "ibzkpt": _ibzkpt("not all point group operations associated with the symmetry of the lattice were found"),
    "tetirr": _ibzkpt("Routine TETIRR needs special values for the k-point shifts"),
    "incorrect_shift": _ibzkpt("Could not get correct shifts"),
    "inv_rot_mat": Message(
        "VERY BAD NEWS! internal error in subroutine INVGRP: inverse of rotation matrix was not found "
        "(increase SYMPREC) 5",
        "setup",
    ),
    "rot_matrix": Message(
        "VERY BAD NEWS! internal error in subroutine SGRCON: Found some non-integer element in rotation matrix 2",
        "setup",
    ),
    "pricel": Message(
        "VERY BAD NEWS! internal error in subroutine PRICEL (probably precision problem, try to change SYMPREC): "
        "number of cells and number of vectors did not agree. 4 3",
        "setup",
    ),
    "pricelv": Message("PRICELV: current lattice and primitive lattice are incommensurate", "setup"),
    "posmap": Message("POSMAP internal error: symmetry equivalent atom not found", "setup"),
    "point_group": Message("ERROR: point group operation missing 8", "setup"),
    "rhosyg": Message("RHOSYG internal error: stars are not distinct, try to increase SYMPREC to e.g. 1E-4", "setup"),
    "bravais": Message("Inconsistent Bravais lattice types found for crystalline and reciprocal lattice", "setup"),
    "hnform": Message("ERROR HNFORM: k-point generating lattice is not commensurate with the crystal", "setup"),
    "symprec_noise": Message(
        "The determination of the symmetry of your systems shows a strong dependence on SYMPREC", "setup", fatal=False
    ),
    "mesh_symmetry": Message(
        "Reciprocal lattice and k-lattice belong to different class of lattices. Often results are still useful...",
        "setup",
        fatal=False,
    ),
    # potentials, bands, wavefunctions
    "real_optlay": Message("REAL_OPTLAY: internal error (1) 12 10", "setup"),
    "rspher": Message("ERROR RSPHER: real-space projection spheres are too small 1234", "setup"),
    "nicht_konv": Message("ERROR: SBESSELITER : nicht konvergent", "setup"),
    "set_core_wf": Message("internal error in SET_CORE_WF: core charge is not correct 1 0.5", "setup"),
    "nbands_not_sufficient": Message("ERROR: the number of bands is not sufficient to hold all electrons", "setup"),
    "auto_nbands": Message(
        "The number of bands has been changed from the values supplied in the INCAR file", "setup", fatal=False
    ),
    "coef": Message("ERROR: while reading WAVECAR, plane wave coefficients changed 1234 1236", "setup"),
    "amin": Message(
        "One of the lattice vectors is very long (>50 A), but AMIN is rather large", "setup", fatal=False
    ),
    "algo_tet": Message("ALGO=A and IALGO=5X tend to fail with the tetrahedron method", "setup", fatal=False),
    "psmaxn": Message("WARNING: PSMAXN for non-local potential too small", "setup", fatal=False),
    "kpoints_trans": Message(
        "internal error in GENERATE_KPOINTS_TRANS: number of G-vector changed in star 1234 1236",
        "setup",
        on_stderr=True,
    ),
    "out_of_memory": Message("0: ALLOCATE: Allocation would exceed memory limit", "setup", on_stderr=True),
    # electronic steps
    "brmix": Message(
        "BRMIX: very serious problems\n the old and the new charge density differ\n"
        " old charge density:  236.00002 new  235.89201",
        "scf",
    ),
    "edddav": Message("Error EDDDAV: Call to ZHEGV failed. Returncode =  10 1  24", "scf"),
    "zpotrf": Message("LAPACK: Routine ZPOTRF failed!  12 1  24", "scf"),
    "pssyevx": Message("ERROR in subspace rotation PSSYEVX: not enough eigenvalues found 118 120", "scf"),
    "pdsyevx": Message("ERROR in subspace rotation PDSYEVX: not enough eigenvalues found 118 120", "scf"),
    "zheev": Message("ERROR EDDIAG: Call to routine ZHEEV failed! 1 1 120", "scf"),
    "eddiag": Message("ERROR in EDDIAG: call to ZHEEV/ZHEEVX/DSYEV/DSYEVX failed! 1 1 120", "scf"),
    "grad_not_orth": Message("EDWAV: internal error, the gradient is not orthogonal 1 1 1.234E-04", "scf"),
    "fexcf": Message("ERROR FEXCF: supplied exchange-correlation table is too small, maximal index : 4213", "scf"),
    "subspacematrix": Message("WARNING: Sub-Space-Matrix is not hermitian in DAV    1  -1.234", "scf", fatal=False),
    "eddrmm": Message("WARNING in EDDRMM: call to ZHEGV failed, returncode =   6  3     9", "scf", fatal=False),
    "dentet": Message("WARNING: DENTET: can't reach specified precision", "scf", fatal=False),
    "too_few_bands": Message("WARNING: TOO FEW BANDS", "scf", fatal=False),
    # between ionic steps
    "zbrent": Message(
        "ZBRENT: fatal error in bracketing\n     please rerun with smaller EDIFF, or copy CONTCAR\n"
        "     to POSCAR and continue",
        "ionic",
    ),
    "brions": Message("BRIONS problems: POTIM should be increased", "ionic"),
}  # fmt: skip
"""custodian's key -> message."""
