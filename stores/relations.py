"""Words for what became of an intended charge ordering. Imports nothing: commands that only look use it too."""

LOST = ("moved", "delocalised", "ambiguous")
"""The ordering that came out is not the one that was meant, or cannot be told."""

COUNTING = ("kept", "equivalent", "measured")
"""The ordering is the one that was meant (or its symmetry image), or it was left free and could be read."""
