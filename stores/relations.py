"""Words for what became of an intended charge ordering, and for whose numbers they are.

Imports nothing: commands that only look use it too.
"""

LOST = ("moved", "delocalised", "ambiguous")
"""The ordering that came out is not the one that was meant, or cannot be told."""

COUNTING = ("kept", "equivalent", "measured")
"""The ordering is the one that was meant (or its symmetry image), or it was left free and could be read."""

LOST_ORDERING = "lost"
"""How the three ways of losing an ordering are called together."""


def ordering_text(relation: str) -> str:
    """What became of an ordering; the three ways of losing it say so."""
    return f"{LOST_ORDERING}: {relation}" if relation in LOST else relation


def is_lost(state: str, relation: str) -> bool:
    """Whether a calculation was completed with another ordering than was meant."""
    return state == "completed" and relation in LOST


def outcome_text(state: str, relation: str) -> str:
    """What became of a calculation: of its ordering where it was completed, else its state."""
    return ordering_text(relation) if state == "completed" else state


def rehearsal_note(engine: str) -> str:
    """A warning wherever numbers of a stand-in are shown; empty for real engines."""
    return "REHEARSAL, not DFT" if engine.startswith("rehearsal") else ""
