"""Whether the charge states of a run can be told at all: what its elements are, and whether there are moments."""

from __future__ import annotations

from collections.abc import Iterable

from .ingest_options import IngestOptions
from .ingest_pair import OutputPair
from .ingest_reasons import PassOver

_REMEDY = "; --keep-unlabelled takes such runs without labels"


def refuse_strangers(symbols: Iterable[str], options: IngestOptions) -> None:
    """Refuse elements whose oxidation state neither a couple nor a fixed charge tells.

    Raises
    ------
    PassOver
        With the elements and the way out.
    """
    strangers = sorted(set(symbols) - options.redox_elements - set(options.fixed))
    if strangers and not options.keep_unlabelled:
        shown = ", ".join(strangers)
        raise PassOver(
            "element without a couple",
            f"{shown}: give a couple (--couples FILE) or a charge (--fixed {strangers[0]}=N){_REMEDY}",
        )


def refuse_what_cannot_be_labelled(pair: OutputPair, options: IngestOptions) -> None:
    """Refuse a run with a redox element and without moments of its sites.

    Raises
    ------
    PassOver
        With what is missing.
    """
    refuse_strangers(pair.found.symbols, options)
    known = {**pair.found.incar, **pair.found.parameters}
    if options.keep_unlabelled or options.redox_elements.isdisjoint(pair.found.symbols):
        return
    if not pair.is_collinear:
        raise PassOver("non-collinear", f"moments are vectors: labels act on collinear moments{_REMEDY}")
    if known.get("ISPIN", "1") != "2":
        raise PassOver("not spin-polarised", f"ISPIN = {known.get('ISPIN', '1')}{_REMEDY}")
    if not pair.has_outcar:
        raise PassOver("no OUTCAR", f"only OUTCAR holds the moments of sites{_REMEDY}")
    record = pair.first_record
    if record is not None and record.complete and record.magmoms is None:
        raise PassOver("no site moments", f"LORBIT = {known.get('LORBIT', '0')} printed none; 11 or 12 does{_REMEDY}")
