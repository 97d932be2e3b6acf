"""The audit of one VASP run, from its outputs: does it count, and which charge ordering came out?

A calculation counts when this audit passed, whatever `state` a parser reports (the stock stack calls a wall-time stop
at 5 eV/A successful). Runs in the same job as VASP, while the folder is at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ..inputs.moments import read_states
from ..inputs.protocol import Protocol
from ..inputs.substitution import ChargeSites
from ..stores.documents import AchievedOrdering, Audit, Finding, FrameSeries, StepKind
from ..stores.relations import LOST

LARGEST_MOMENT = 10.0
"""muB on one site: no ion has more than 7 (a half-filled 4f shell), and spheres of projection may overlap a little."""

UNKNOWN_CELL_SLACK = 2.0
"""Factor on the cell bounds where only the idealised host is known: emptying a host changes its volume by over 10 %."""


EV_PER_A3_TO_KBAR = 1602.1766208


OnLostOrdering = Literal["keep", "retry", "fail"]


@dataclass(frozen=True)
class RunFindings:
    """What was noticed of a run beside its frames.

    Attributes
    ----------
    stopped : STOPCAR or wall time ended it.
    drift : findings of inputs that changed (`drift`).
    on_lost_ordering : whether a lost ordering is a flagged result (`keep`, `retry`) or a failure (`fail`).
    noticed : what VASP said and custodian did (`vasp_messages`).
    """

    stopped: bool = False
    drift: tuple[Finding, ...] = ()
    on_lost_ordering: OnLostOrdering = "keep"
    noticed: tuple[Finding, ...] = ()


class AuditReference(BaseModel):
    """What a run is held against: the host's cell at this composition and its equivalent orderings."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    lengths: tuple[float, float, float] = Field(description="cell lengths of the host at this composition, A")
    volume: float = Field(gt=0, description="its volume, A^3")
    source: str = Field(description="where the cell comes from")
    slack: float = Field(
        default=1.0,
        ge=1,
        description="factor on the protocol's bounds; above 1 where the composition's cell is not known",
    )
    equivalences: list[list[int]] = Field(
        default_factory=list,
        description="(n_operations, n_redox) permutations of the redox sites that leave the working-ion ordering as it "
        "is; row g sends an ordering `bits` to `bits[g]`. Empty: only the identity",
    )


def achieved_ordering(
    magmoms: Sequence[float] | None,
    site_order: Sequence[int],
    sites: ChargeSites,
    engine: str,
    equivalences: Sequence[Sequence[int]] = (),
) -> AchievedOrdering:
    """Read the charge ordering from final moments and hold it against the intended one.

    Parameters
    ----------
    magmoms : (n_sites,) muB, in the order of `site_order`; None where the run gave none.
    site_order : (n_sites,) parent index of each site.
    sites : the intended charge states.
    engine : whose moments these are.
    equivalences : see `AuditReference`.
    """
    if magmoms is None:
        return AchievedOrdering(relation="ambiguous", reason="the run gave no site moments (LORBIT below 10?)")
    by_parent = dict(zip(site_order, magmoms, strict=True))
    moments = [by_parent[i] for i in sites.redox_sites]
    if not np.all(np.isfinite(moments)):
        return AchievedOrdering(relation="ambiguous", reason="a moment is not finite")
    reading = read_states(moments, sites.couple, engine, sites.n_high)
    gap = None if np.isnan(reading.gap) else reading.gap
    if reading.is_high is None:
        relation = "delocalised" if reading.verdict == "delocalised" else "ambiguous"
        return AchievedOrdering(relation=relation, gap=gap, reason=reading.reason)
    found = [bool(bit) for bit in reading.is_high]
    if sites.is_high is None:
        return AchievedOrdering(relation="measured", is_high=found, gap=gap)
    if found == sites.is_high:
        return AchievedOrdering(relation="kept", is_high=found, gap=gap)
    if any([sites.is_high[i] for i in row] == found for row in equivalences):
        return AchievedOrdering(relation="equivalent", is_high=found, gap=gap)
    lost = [i for i, (meant, got) in enumerate(zip(sites.is_high, found, strict=True)) if meant and not got]
    gained = [i for i, (meant, got) in enumerate(zip(sites.is_high, found, strict=True)) if got and not meant]
    reason = f"high states left redox sites {lost} for {gained}"
    return AchievedOrdering(relation="moved", is_high=found, gap=gap, reason=reason)


def audit_step(
    step: StepKind,
    frames: FrameSeries,
    magmoms: Sequence[float] | None,
    initial_magmoms: Sequence[float],
    achieved: AchievedOrdering,
    protocol: Protocol,
    reference: AuditReference | None,
    run: RunFindings | None = None,
) -> Audit:
    """Judge one VASP run from its frames and moments and from what was noticed while it ran."""
    run, relaxes = run or RunFindings(), step not in ("static", "rescue static")
    findings = [
        *(_forces(frames, protocol.max_force, run.stopped) if relaxes else []),
        *(_stress(frames, protocol.max_stress_kbar) if relaxes else []),
        *_finite_energies(frames),
        *_electronic_steps(frames),
        *_moments(magmoms, initial_magmoms),
        *([] if reference is None else _cell(frames, protocol, reference)),
        *_ordering(achieved, run.on_lost_ordering),
        *run.drift,
        *run.noticed,
    ]
    return Audit.of(findings)


def largest_force(frames: FrameSeries) -> float:
    """Largest force on an atom in the last ionic step, eV/A."""
    forces: NDArray[np.float64] = np.asarray(frames.forces[-1], dtype=float)
    return float(np.linalg.norm(forces, axis=1).max())


def _forces(frames: FrameSeries, bound: float, stopped: bool) -> list[Finding]:
    force = largest_force(frames)
    if force <= bound:
        return []
    why = "stopped before it was done" if stopped else "not converged"
    message = f"largest force {force:.3f} eV/A after {len(frames.energies)} ionic steps exceeds {bound} eV/A: {why}"
    return [Finding(code="stopped" if stopped else "forces", severity="failure", message=message)]


def _stress(frames: FrameSeries, bound_kbar: float) -> list[Finding]:
    """EDIFFG is a criterion for forces alone: a cell that is still strained is flagged, and counts."""
    stress = float(np.abs(np.asarray(frames.stresses[-1], dtype=float)).max()) * EV_PER_A3_TO_KBAR
    if stress <= bound_kbar:
        return []
    message = f"largest stress component {stress:.1f} kbar exceeds {bound_kbar:g} kbar: the cell is not fully relaxed"
    return [Finding(code="stress", severity="warning", message=message)]


def _electronic_steps(frames: FrameSeries) -> list[Finding]:
    findings = []
    if not frames.scf_converged[-1]:
        message = "the last ionic step did not reach EDIFF within NELM electronic steps: energy and forces do not count"
        findings.append(Finding(code="scf", severity="failure", message=message))
    others = [i + 1 for i, converged in enumerate(frames.scf_converged[:-1]) if not converged]
    if others:
        which = ", ".join(map(str, others[:10])) + (" ..." if len(others) > 10 else "")
        message = (
            f"{len(others)} of {len(frames.energies)} ionic steps did not reach EDIFF within NELM electronic steps "
            f"({which}): they are no training labels"
        )
        findings.append(Finding(code="scf on the way", severity="warning", message=message))
    return findings


def _finite_energies(frames: FrameSeries) -> list[Finding]:
    bad = np.flatnonzero(~np.isfinite(frames.energies)).tolist()
    return (
        [Finding(code="energies", severity="failure", message=f"energies of frames {bad} are not finite")]
        if bad
        else []
    )


def _moments(magmoms: Sequence[float] | None, initial: Sequence[float]) -> list[Finding]:
    if magmoms is None:
        return [
            Finding(code="moments", severity="failure", message="no site moments in OUTCAR; LORBIT must be 10 or more")
        ]
    if len(magmoms) != len(initial):
        message = f"{len(magmoms)} moments for {len(initial)} sites"
        return [Finding(code="moments", severity="failure", message=message)]
    bad = [i for i, value in enumerate(magmoms) if not np.isfinite(value)]
    if bad:
        return [Finding(code="moments", severity="failure", message=f"moments of sites {bad} are not finite")]
    huge = [i for i, value in enumerate(magmoms) if abs(value) > LARGEST_MOMENT]
    if huge:
        message = f"moments of sites {huge} exceed {LARGEST_MOMENT:g} muB, which no ion has"
        return [Finding(code="moments", severity="failure", message=message)]
    flipped = [i for i, (m, m0) in enumerate(zip(magmoms, initial, strict=True)) if m0 > 1 and m < -1]
    if flipped:
        message = f"moments of sites {flipped} turned against the ferromagnetic order"
        return [Finding(code="spin order", severity="failure", message=message)]
    return []


def _cell(frames: FrameSeries, protocol: Protocol, reference: AuditReference) -> list[Finding]:
    """Blown-up cells keep their moments, so the cell is judged on its own."""
    lattice = np.asarray(frames.lattices[-1], dtype=float)
    volume, lengths = abs(float(np.linalg.det(lattice))), np.linalg.norm(lattice, axis=1)
    findings = []
    change, volume_bound = volume / reference.volume - 1, protocol.volume_bound * reference.slack
    if abs(change) > volume_bound:
        message = (
            f"volume {volume:.1f} A^3 is {change:+.1%} from the host at this composition ({reference.volume:.1f} A^3, "
            f"{reference.source}); bound {volume_bound:.0%}"
        )
        findings.append(Finding(code="volume", severity="failure", message=message))
    for name, length, expected in zip("abc", lengths, reference.lengths, strict=True):
        strain, axis_bound = float(length) / expected - 1, protocol.axis_bound * reference.slack
        if abs(strain) > axis_bound:
            message = f"axis {name} = {length:.3f} A is {strain:+.1%} from {expected:.3f} A; bound {axis_bound:.0%}"
            findings.append(Finding(code="axes", severity="failure", message=message))
    return findings


def _ordering(achieved: AchievedOrdering, on_lost: OnLostOrdering) -> list[Finding]:
    if achieved.relation in LOST:
        message = f"charge ordering {achieved.relation}: {achieved.reason}"
        return [Finding(code="ordering", severity="failure" if on_lost == "fail" else "warning", message=message)]
    return []
