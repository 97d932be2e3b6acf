"""Run builders over several processes, and bring the calculations of a store's campaigns up to date before them.

maggma's own `mrun` runs the same builders; here results are written in order by the process that owns the store, so
that SQLite has one writer, and progress can be shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from maggma.core import Builder
from pymatgen.core import Structure

from ..inputs.hosts import Host
from ..inputs.supercells import HostSupercell
from .builders import build_calculations
from .documents import ConfigurationDoc
from .processes import in_processes
from .sharing import documents_of

if TYPE_CHECKING:
    from .connect import Stores

Action = Callable[[dict[str, Any]], dict[str, Any]]
_Given = TypeVar("_Given")


def run_builder(
    builder: Builder, action: Action, processes: int = 1, on_items: Callable[[int, int], None] = lambda n, of: None
) -> Iterator[dict[str, Any]]:
    """Run a builder; its results are yielded after they were written.

    Parameters
    ----------
    builder : what gives items and writes results.
    action : what its `process_item` does, of a module's top level.
    processes : that work on items; the calling one reads and writes.
    on_items : called with (items done, items in all) after each write.

    Raises
    ------
    RuntimeError
        If a process is killed twice on the same item.
    """
    done, waiting = 0, list[dict[str, Any]]()
    for _, result in in_processes(action, builder.get_items(), processes, _lost):
        waiting.append(result)
        if len(waiting) >= builder.chunk_size:
            yield from _written(builder, waiting)
            done += len(waiting)
            on_items(done, int(builder.total or 0))
            waiting = []
    if waiting:
        yield from _written(builder, waiting)
        on_items(done + len(waiting), int(builder.total or 0))


def _written(builder: Builder, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    builder.update_targets(results)
    return results


def _lost(item: Mapping[str, Any]) -> dict[str, Any]:
    raise RuntimeError("a process was killed twice on the same item (memory?); build with --workers 1 to see more")


def build_store_calculations(stores: Stores) -> int:
    """Calculation documents that are due in any campaign of a store; campaigns are read from the store alone.

    Returns
    -------
    Number of documents written.
    """
    written = 0
    for campaign in stores.collection("campaigns").query({}, ["campaign", "host", "supercell"]):
        found = documents_of(stores, "configurations", campaign["campaign"])
        configurations = [
            ConfigurationDoc.model_validate({k: v for k, v in document.items() if k in ConfigurationDoc.model_fields})
            for document in found
        ]
        written += build_calculations(stores, supercell_of(campaign), configurations)
    return written


def supercell_of(campaign: Mapping[str, Any]) -> HostSupercell:
    """The host's supercell that a campaign was started on.

    Parameters
    ----------
    campaign : CampaignDoc as dict, with `host` and `supercell`.
    """
    host = campaign["host"]
    structure = Structure.from_dict(host["structure"])
    return HostSupercell.build(Host.model_validate({**host, "structure": structure}), campaign["supercell"])
