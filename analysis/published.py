"""The paper's Tables 1 and 2 as data, scored as our own models are."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, Literal

from ..inputs.yaml_files import parse_yaml
from ..potentials.evaluation.rankings import rank_structures
from ..potentials.evaluation.scores import Ranking

Embedding = Literal["before", "after"]


@cache
def paper_tables() -> dict[str, Any]:
    """Content of data/paper_tables.yaml: `structures`, `reference`, `dft`, and per model `before` and `after`."""
    path = files("valenceflow.analysis.data") / "paper_tables.yaml"
    return parse_yaml(path.read_text(encoding="utf-8"), "paper_tables.yaml")


def published_ranking(model: str, embedding: Embedding) -> Ranking:
    """Scores of one column of Table 1 (`before`) or Table 2 (`after` charge states were embedded).

    Parameters
    ----------
    model : cPaiNN, MACE or CHGNet.
    embedding : which table.

    Raises
    ------
    ValueError
        If there is no such column.
    """
    tables = paper_tables()
    columns = tables[embedding] if embedding in ("before", "after") else {}
    if model not in columns:
        raise ValueError(f"no published column {model!r}, {embedding!r}: choose of {', '.join(tables['before'])}")
    return rank_structures(
        f"{model} {embedding} embedding",
        "published",
        tables["structures"],
        tables["dft"],
        columns[model],
        tables["reference"],
    )
