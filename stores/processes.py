"""Work spread over processes, results in order, a bounded number of them ahead; a process that dies costs its own item.

Used where one process owns the store and others only read and compute (`ingest`, `build`).
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

Given = TypeVar("Given")
Result = TypeVar("Result")

_AHEAD = 4
"""Items per process that may be done before their results are taken."""

_PRELOADED = ["valenceflow.stores.ingest_work", "valenceflow.stores.labels"]


def in_processes(
    action: Callable[[Given], Result],
    items: Iterable[Given],
    processes: int,
    on_lost: Callable[[Given], Result],
) -> Iterator[tuple[Given, Result]]:
    """Apply an action to items, in order.

    Parameters
    ----------
    action : of a module's top level; must not raise.
    items : taken as they are needed.
    processes : 1 works in this process.
    on_lost : result for an item whose process was killed, by itself, a second time.

    Yields
    ------
    Each item with its result.
    """
    if processes == 1:
        yield from ((item, action(item)) for item in items)
        return
    pending: deque[tuple[Given, Future[Result]]] = deque()
    source = iter(items)
    pool = _pool(processes)
    try:
        while True:
            for item in _next_ones(source, processes * _AHEAD - len(pending)):
                pending.append((item, _submitted(pool, action, item)))
            if not pending:
                return
            item, future = pending.popleft()
            try:
                result = future.result()
            except BrokenProcessPool:
                pool.shutdown(wait=False, cancel_futures=True)
                result = _alone(action, item, on_lost)
                pool = _pool(processes)
                pending = deque((other, _submitted(pool, action, other)) for other, _ in pending)
            yield item, result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _next_ones(source: Iterator[Given], count: int) -> Iterator[Given]:
    for _ in range(count):
        try:
            yield next(source)
        except StopIteration:
            return


def _submitted(pool: ProcessPoolExecutor, action: Callable[[Given], Result], item: Given) -> Future[Result]:
    try:
        return pool.submit(action, item)
    except BrokenProcessPool as err:  # another item has just killed a process; this one is tried again
        failed: Future[Result] = Future()
        failed.set_exception(err)
        return failed


def _alone(action: Callable[[Given], Result], item: Given, on_lost: Callable[[Given], Result]) -> Result:
    """Try an item in a process of its own: it may have been another one that killed the pool."""
    with _pool(1) as pool:
        try:
            return pool.submit(action, item).result()
        except BrokenProcessPool:
            return on_lost(item)


def _pool(processes: int) -> ProcessPoolExecutor:
    # A server without threads forks the workers, after it has imported what they need: they start at once.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return ProcessPoolExecutor(processes, mp_context=context, initializer=prepare_process)


def prepare_process() -> None:
    """Ctrl-C is the parent's affair, which lets its workers end; one process uses one core."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = "1"
    gc.freeze()  # what was imported stays: no collection need look at it again
    end_with_parent()


def end_with_parent() -> None:
    """End this process of a pool when its parent is killed: it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
