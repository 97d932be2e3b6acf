"""Many structures relaxed over processes, each once: results are kept one by one, so that a killed run goes on."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch
from ase import Atoms

from ..stores.processes import end_with_parent
from .batched import descend_together
from .calculator import ChargeStateCalculator
from .labelling import StateSource, states_in_array
from .open_models import ModelChoice
from .relax import Started, relax_atoms
from .relaxation import Relaxation, RelaxSettings, relaxation_id, structure_fields
from .relaxation_journal import Journal
from .species import OXIDATION_STATE

STEPS_BETWEEN_CHECKPOINTS = 10
_WAITING_PER_WORKER = 4
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class RelaxJob:
    """A structure to be relaxed.

    Attributes
    ----------
    name : what it is called.
    atoms : the start, labelled.
    started : where to go on from, if it came nearer to its minimum already.
    """

    name: str
    atoms: Atoms
    started: Started | None = None


Progress = Callable[[Relaxation, int, int], None]
"""Called with each result, how many are done and how many there are."""

Approached = Callable[[int, int], None]
"""Called while structures are relaxed together: how many are done with that, and how many there are."""


def relax_many(
    jobs: Sequence[RelaxJob],
    choice: ModelChoice,
    settings: RelaxSettings | None = None,
    folder: Path | None = None,
    workers: int = 1,
    states: str | StateSource = OXIDATION_STATE,
    progress: Progress = lambda result, done, total: None,
    approached: Approached = lambda done, total: None,
) -> list[Relaxation]:
    """Relax structures; what a journal holds already is not done again.

    Parameters
    ----------
    jobs : in any order; equal structures are relaxed once: with their labels, or without where the model has no charge
        states and cannot tell them apart.
    choice : the model or ensemble; with `batch_atoms` structures approach their minima together first.
    settings : default: the paper's.
    folder : the journal; None: nothing is kept.
    workers : processes. With more than one each computes on one thread, and a script that calls this needs the usual
        `if __name__ == "__main__":`.
    states : where oxidation states are read; they end in the array `oxidation_state` of what comes back.
    progress : called with each result.
    approached : called while structures are relaxed together.

    Returns
    -------
    One result per job, in their order.

    Raises
    ------
    ValueError
        If the model cannot be opened, or a worker process died; with `batch_atoms` also as `batched.descend_together`.
    """
    wanted, fingerprint = settings or RelaxSettings(), choice.fingerprint()
    if states != OXIDATION_STATE:
        jobs = [_labelled(job, states_in_array(states) if isinstance(states, str) else states) for job in jobs]
    journal = None if folder is None else Journal(folder)
    work = jobs if choice.knows_charge_states else [_unlabelled(job) for job in jobs]
    ids = [relaxation_id(job.atoms, fingerprint, wanted) for job in work]
    found: dict[str, Relaxation] = {}
    open_jobs: dict[str, RelaxJob] = {}
    for name, job in zip(ids, work, strict=True):
        done = journal.find(name) if journal is not None and name not in found else None
        if done is not None:
            found[name] = done
        elif name not in found:
            open_jobs.setdefault(name, job)
    total = len(found) + len(open_jobs)
    told = _Task(choice, fingerprint, wanted, folder)
    asked = dict(zip(reversed(ids), reversed(jobs), strict=True))  # of equal ones the first
    begun = told.begun(open_jobs, approached)
    for place, result in enumerate(_relaxed(begun, told, workers), len(found) + 1):
        found[result.relaxation_id] = result
        progress(_as_asked(result, asked[result.relaxation_id]), place, total)
    return [_as_asked(found[name], job) for name, job in zip(ids, jobs, strict=True)]


def _unlabelled(job: RelaxJob) -> RelaxJob:
    atoms = job.atoms.copy()
    atoms.set_array(OXIDATION_STATE, None)
    return replace(job, atoms=atoms)


def _as_asked(result: Relaxation, job: RelaxJob) -> Relaxation:
    """A result under a job's name and with its labels."""
    return result.model_copy(
        update={"name": job.name, "oxidation_states": structure_fields(job.atoms)["oxidation_states"]}
    )


def _labelled(job: RelaxJob, source: StateSource) -> RelaxJob:
    atoms = job.atoms.copy()
    atoms.set_array(OXIDATION_STATE, None)
    atoms.set_array(OXIDATION_STATE, source(job.atoms))
    return RelaxJob(job.name, atoms)


@dataclass(frozen=True)
class _Task:
    """What a worker is told once."""

    choice: ModelChoice
    fingerprint: str
    settings: RelaxSettings
    folder: Path | None

    def begun(self, jobs: Mapping[str, RelaxJob], approached: Approached) -> list[RelaxJob]:
        """Jobs with where they go on from: a checkpoint, or where a batch brought them."""
        journal = None if self.folder is None else Journal(self.folder)
        found = {
            name: replace(job, started=job.started if journal is None else journal.started(name, job.atoms))
            for name, job in jobs.items()
        }
        fresh = [name for name, job in found.items() if job.started is None]
        if self.choice.batch_atoms is None or not fresh or self.settings.steps == 0:
            return list(found.values())

        def keep(place: int, ended: Started) -> None:
            name = fresh[place]
            found[name] = replace(found[name], started=ended)
            if journal is not None:
                journal.checkpoint(name, ended)

        starts = [found[name].atoms for name in fresh]
        descend_together(starts, self.choice, self.settings, keep, lambda done: approached(done, len(fresh)))
        return list(found.values())

    def run(self, job: RelaxJob, calculator: ChargeStateCalculator) -> Relaxation:
        """Relax one structure and keep the result."""
        model = (self.choice.title, self.fingerprint)
        if self.folder is None:
            return relax_atoms(job.atoms, calculator, self.settings, job.name, model, job.started)
        journal, name = Journal(self.folder), relaxation_id(job.atoms, self.fingerprint, self.settings)
        earlier = "" if job.started is None else job.started.optimiser

        def checkpoint(atoms: Atoms, n_steps: int) -> None:
            if n_steps % STEPS_BETWEEN_CHECKPOINTS == 0:
                journal.checkpoint(name, Started(atoms, n_steps, earlier))

        result = relax_atoms(job.atoms, calculator, self.settings, job.name, model, job.started, checkpoint)
        journal.keep(result)
        return result


def _relaxed(jobs: Sequence[RelaxJob], task: _Task, workers: int) -> Iterator[Relaxation]:
    """Results as they come."""
    if not jobs:
        return
    if workers == 1:
        calculator = task.choice.open()
        yield from (task.run(job, calculator) for job in jobs)
        return
    task.choice.open()  # an error in the model is told before processes start
    context = multiprocessing.get_context("spawn")  # a forked torch hangs
    with _children_on_one_thread(), ProcessPoolExecutor(workers, context, _start_worker, (task,)) as pool:
        try:
            yield from _as_they_come(pool, iter(jobs), workers * _WAITING_PER_WORKER)
        except BrokenProcessPool as err:
            raise ValueError(
                "a worker process died (out of memory?); what was finished is kept: run again, with fewer --workers"
            ) from err
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _children_on_one_thread() -> Iterator[None]:
    """The cell filter's small matrices are ten times slower where processes' BLAS threads wait for each other."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _as_they_come(pool: ProcessPoolExecutor, jobs: Iterator[RelaxJob], at_once: int) -> Iterator[Relaxation]:
    waiting: set[Future[Relaxation]] = {pool.submit(_work, job) for job in islice(jobs, at_once)}
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            waiting |= {pool.submit(_work, job) for job in islice(jobs, 1)}
            yield future.result()


_in_worker: tuple[_Task, ChargeStateCalculator] | None = None


def _start_worker(task: _Task) -> None:
    global _in_worker  # a pool's worker has no other place for what it opens once
    torch.set_num_threads(1)
    end_with_parent()
    _in_worker = (task, task.choice.open())


def _work(job: RelaxJob) -> Relaxation:
    assert _in_worker is not None  # _start_worker ran first
    task, calculator = _in_worker
    return task.run(job, calculator)
