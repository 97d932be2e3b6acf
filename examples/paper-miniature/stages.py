"""The stages of the paper in miniature, from the settings of one scale: which commands, in which folders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from commands import Command
from results import write_results
from runner import Stage, Step
from valenceflow.inputs.whole_files import write_whole
from valenceflow.potentials.presets import settings_of

Settings = Mapping[str, Any]
STORE = {
    "JOB_STORE": {
        "docs_store": {"type": "SQLiteStore", "path": "store.sqlite", "collection": "jobs"},
        "additional_stores": {"data": {"type": "SQLiteStore", "path": "store.sqlite", "collection": "data"}},
    }
}
COLUMNS = "configuration_id,fraction,intended_key,relation,counts,energy_per_fu"
FAILURES_ALLOWED = (0, 1)
"""`run` ends with 1 where configurations failed or lost their ordering: its table says which, and they are not used."""
PROTOCOL = "protocol.yaml"
CALCULATIONS, DATA_SET, SCORES, REFERENCES = "calculations", "data-set", "scores", "references"
SECOND, RESULTS = "second-calculations", "results"
WORDS = {"states": "with charge states", "plain": "without charge states"}


def stages_of(told: Settings) -> list[Stage]:
    """All stages in order."""
    scores = list(_scores(told))
    return [
        _calculations(told), _data_set(told), *_trainings(told), *scores, *_searches(told), *_second(told),
        *_figures(told), _report(told), _results(told, [stage.name for stage in scores]),
    ]  # fmt: skip


def _calculations(told: Settings) -> Stage:
    """Two-step campaigns in one store."""
    names = list(told["campaigns"])
    steps: list[Step] = [partial(_write_campaigns, told=told)]
    for name in names:
        steps += _campaign(told, f"{CALCULATIONS}/{name}", f"{CALCULATIONS}/{name}.json")
    return Stage(
        CALCULATIONS, f"two-step calculations of {', '.join(names)} on {told['engine']}", tuple(steps),
        tuple(f"{name}.json" for name in names),
        {name: told[name] for name in ("campaigns", "engine", "protocol")},
        like="calculations", grows=True,
    )  # fmt: skip


def _campaign(told: Settings, path: str, output: str) -> Iterator[Step]:
    """Run a campaign and keep what came of it."""
    run = ("run", f"{path}.yaml", "--engine", str(told["engine"]), "--workers", str(told["workers"]))
    yield Command(run, FAILURES_ALLOWED)
    yield Command(("query", f"{path}.yaml", "--json", "--columns", COLUMNS), output=output)


def _write_campaigns(root: Path, told: Settings) -> None:
    """Campaign files and the store that they share."""
    folder = root / CALCULATIONS
    write_whole(folder / "store.yaml", yaml.safe_dump(STORE, sort_keys=False))
    write_whole(folder / PROTOCOL, yaml.safe_dump(told["protocol"], sort_keys=False))
    for name, campaign in told["campaigns"].items():
        content = {
            "name": name, "host": told["host"], "supercell": campaign["supercell"], "couple": told["couple"],
            "working_ion": {told["working_ion"]: campaign["working_ion"]}, "charge": campaign["charge"],
            "protocol": PROTOCOL, "end_members": campaign.get("end_members", True), "store": "store.yaml",
        }  # fmt: skip
        write_whole(folder / f"{name}.yaml", yaml.safe_dump(content, sort_keys=False))


def _data_set(told: Settings) -> Stage:
    """One set for all trainings, whole working-ion orderings held out."""
    wanted, store = told["data_set"], ("--store", f"{CALCULATIONS}/store.yaml")
    formats = ",".join(wanted.get("formats", ["cpainn", "mace", "chgnet", "parquet"]))
    export = (
        "export", *store, "--to", f"{DATA_SET}/set", "--replace", "--format", formats, "--split-by", "working ordering",
        "--fractions", wanted["fractions"], "--force-step", str(wanted["force_step"]), "--title", "paper miniature",
        *(word for name in wanted["hold_out"] for word in ("--hold-out", name)),
    )  # fmt: skip
    steps = (Command(("build", *store, "--workers", str(told["workers"]))), Command(export))
    return Stage(DATA_SET, "data set", steps, ("set/manifest.json",), after=(CALCULATIONS,))


def _model(kind: str, variant: str, seed: int) -> str:
    return f"{kind}-{variant}-{seed}"


def _folder(kind: str, variant: str, seed: int) -> str:
    name = _model(kind, variant, seed)
    return f"train-{name}/{name}"


def _models(told: Settings) -> list[tuple[str, str, int]]:
    return [(kind, variant, seed) for seed in told["seeds"] for kind in told["models"] for variant in told["variants"]]


def _trainings(told: Settings) -> Iterator[Stage]:
    """Every kind with and without charge states, seed by seed."""
    for kind, variant, seed in _models(told):
        extra = [(f"--{name.replace('_', '-')}", str(value)) for name, value in told["models"][kind].items()]
        arguments = (
            "train", kind, "--dataset", f"{DATA_SET}/set", "--out", _folder(kind, variant, seed), "--seed", str(seed),
            *(["--no-charge-states"] if variant == "plain" else []),
            *(word for pair in extra for word in pair),
        )  # fmt: skip
        name = _model(kind, variant, seed)
        yield Stage(
            f"train-{name}", f"training {kind} {WORDS[variant]}, seed {seed}", (Command(arguments),),
            (f"{name}/model.json",), settings_of(kind, told["models"][kind].get("preset")).model_dump(mode="json"),
            after=(DATA_SET,), like=f"training {kind}", one_core=True,
        )  # fmt: skip


def _evaluate(told: Settings, models: list[tuple[str, str, int]], out: str, *extra: str) -> Command:
    wanted = told["scores"]
    relaxing = [(f"--{name}", str(wanted[name])) for name in ("fmax", "steps") if name in wanted]
    return Command((
        "evaluate", *(_folder(*model) for model in models), "--dataset", f"{DATA_SET}/set", "--out", out,
        "--side", wanted["side"], *(word for start in wanted["starts"] for word in ("--start", start)),
        *(("--judge", wanted["judge"]) if wanted["judge"] else ()), *(word for pair in relaxing for word in pair),
        "--workers", str(told["workers"]), *extra,
    ))  # fmt: skip


def _scores(told: Settings) -> Iterator[Stage]:
    """All models side by side; and the references, by continuing the teacher from one model's minima."""
    models = _models(told)
    after = (DATA_SET, *(f"train-{_model(*model)}" for model in models))
    yield Stage(
        SCORES, f"scores of {len(models)} models on the orderings held out", (_evaluate(told, models, SCORES),),
        ("comparison.json", "*/scores.json"), after=after, like="scores of a model", size=len(models),
    )  # fmt: skip
    kind = told["scores"]["references_by"]
    if kind is not None:
        model = (kind, "states", told["seeds"][0])
        yield Stage(
            REFERENCES, f"references checked from the minima of {_model(*model)}",
            (_evaluate(told, [model], REFERENCES, "--check-references"),), ("*/scores.json",),
            after=(DATA_SET, f"train-{_model(*model)}"),
        )  # fmt: skip


def _searches(told: Settings) -> Iterator[Stage]:
    """One search per variant, in the cell of the last campaign."""
    wanted = told["search"]
    rows = ";".join(",".join(map(str, row)) for row in _matrix(told))
    options: list[tuple[str, str]] = [("-x", str(value)) for value in wanted["fractions"]]
    options += [("--set", f"{name}={value}") for name, value in wanted["set"].items()]
    options += [(f"--{name}", str(wanted[name])) for name in ("fmax", "steps") if name in wanted]
    options += [("--at-most", str(wanted["at_most"]))] if wanted["at_most"] else []
    for variant in _searched(told):
        model = (wanted["model"], variant, told["seeds"][0])
        arguments = (
            "search", "run", told["host"], "-s", rows, "-m", _folder(*model), "--to", f"search-{variant}/search",
            "--orderings", wanted["orderings"][variant], "--searcher", wanted["searcher"],
            "--workers", str(told["workers"]), "--couple", told["couple"], *(word for pair in options for word in pair),
        )  # fmt: skip
        yield Stage(
            f"search-{variant}", f"search with {wanted['model']} {WORDS[variant]}", (Command(arguments),),
            ("search/evaluations.jsonl",), after=(f"train-{_model(*model)}",), like="search",
        )  # fmt: skip


def _searched(told: Settings) -> list[str]:
    """Variants that a search is done with."""
    return list(told["search"]["orderings"])


def _matrix(told: Settings) -> list[list[int]]:
    """Rows of the supercell of the last campaign."""
    given = list(told["campaigns"].values())[-1]["supercell"]
    return given if isinstance(given[0], list) else [[n * (i == j) for j in range(3)] for i, n in enumerate(given)]


def _second(told: Settings) -> Iterator[Stage]:
    """What each search proposes, selected and sent through the two-step protocol."""
    wanted = told["selection"]
    numbers = ("--lowest", str(wanted["lowest"]), "--highest", str(wanted["highest"]))
    extra = tuple(word for x, n in wanted["extra"].items() for word in ("--extra", f"{x}={n}"))
    for variant in _searched(told):
        path = f"{SECOND}-{variant}/next-{variant}"
        arguments = ("search", "select", f"search-{variant}/search", "--to", f"{path}.yaml", *numbers, *extra,
                     "--protocol", f"{CALCULATIONS}/{PROTOCOL}")  # fmt: skip
        # The campaign file is written last: where it is missing, CIFs are what a killed selection left.
        select = Command(arguments, makes=f"{path}.yaml", leaves=f"{path}-orderings")
        steps = (select, *_campaign(told, path, f"{path}.json"))
        yield Stage(
            f"{SECOND}-{variant}", f"two-step calculations of what the search {WORDS[variant]} found", steps,
            (f"next-{variant}.json",), after=(f"search-{variant}",), like="second calculations",
        )  # fmt: skip


def _figures(told: Settings) -> Iterator[Stage]:
    """Figures and tables of the paper; then what every search found: its course, and the hull of its calculations."""
    campaign = _last_campaign(told)
    scores = _first_scores(told)
    before = ("figures", campaign, *scores, "--to", "figures", "--engine", str(told["engine"]))
    yield Stage(
        "figures", "figures and tables", (Command(before),), ("*.png", "*.csv"),
        after=(CALCULATIONS, SCORES),
    )  # fmt: skip
    fractions = told["search"]["fractions"]
    several = len(fractions) > 1 or "all" in fractions
    for variant in _searched(told):
        folder = f"hull-{variant}"
        shown = ("fig2a", "fig2b") if several else ("fig2a",)  # at one composition there is no hull
        course = ("figures", f"search-{variant}/search", "--only", ",".join(shown), "--to", folder)
        after = ("figures", f"{SECOND}-{variant}/next-{variant}.yaml", "--only", "fig2c", "--to", folder)
        yield Stage(
            folder, f"hull of what the search {WORDS[variant]} found",
            (Command(course), Command((*after, "--engine", str(told["engine"])))), ("*.png", "*.csv"),
            after=(f"search-{variant}", f"{SECOND}-{variant}"), like="hull",
        )  # fmt: skip


def _last_campaign(told: Settings) -> str:
    return f"{CALCULATIONS}/{list(told['campaigns'])[-1]}.yaml"


def _first_scores(told: Settings) -> list[str]:
    """Scores of the first seed: what differs by the seed is in the results."""
    first = [model for model in _models(told) if model[2] == told["seeds"][0]]
    return [f"{SCORES}/{_model(*model)}/scores.json" for model in first]


def _report(told: Settings) -> Stage:
    """One page of the last campaign, the models and the figures."""
    arguments = (
        "report", _last_campaign(told), *_first_scores(told), "--dataset", f"{DATA_SET}/set", "--figures", "figures",
        "--engine", str(told["engine"]), "--out", "report/report.html",
    )  # fmt: skip
    return Stage(
        "report", "report", (Command(arguments),), ("report.html",), after=(CALCULATIONS, DATA_SET, SCORES, "figures")
    )


def _results(told: Settings, scored: list[str]) -> Stage:
    """What is true of the models, in one table."""
    seconds = [f"{SECOND}-{variant}" for variant in _searched(told)]
    return Stage(
        RESULTS, "results", (partial(write_results, told=dict(told)),), ("results.md", "results.json"),
        {"engine": told["engine"]}, after=(CALCULATIONS, DATA_SET, *scored, *seconds),
    )  # fmt: skip
