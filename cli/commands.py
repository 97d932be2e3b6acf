"""The commands: where each is and its first line of help, so that one is imported when it is called and not before."""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup


class Place(NamedTuple):
    """Where a command is.

    Attributes
    ----------
    module : beside this one.
    name : of its function, or of the Typer of a group of commands.
    line : first line of its help.
    """

    module: str
    name: str
    line: str


COMMANDS: dict[str, Place] = {
    "init": Place("init", "app", "Write a campaign file, or (init cluster) a cluster's."),
    "doctor": Place("doctor", "doctor", "Say what is installed, what is missing, and how to mend it."),
    "run": Place("run", "run", "Run a campaign; a second run does only what is missing."),
    "status": Place("status", "status", "Show how far a campaign is and what to type next."),
    "retry": Place("run", "retry", "Mark failed configurations for another attempt."),
    "pause": Place("control", "pause", "Let running configurations finish and start no others."),
    "cancel": Place("control", "cancel", "Stop a running campaign now; what is finished stays."),
    "ingest": Place("ingest", "ingest", "Take VASP folders, TaskDocs and data sets into a store."),
    "build": Place("build", "build", "Make the frames, labels and summaries that are due."),
    "orderings": Place("orderings", "app", "Count, list, rank and sample orderings; recognise one."),
    "query": Place("query", "query", "Show calculations or frames of a campaign or a store."),
    "export": Place("export", "export", "Make a data set for training, with splits and a card."),
    "relax": Place("relax", "relax", "Relax structures under a potential, as the paper does."),
    "evaluate": Place("evaluate", "evaluate", "Score potentials on a data set, side by side."),
    "hull": Place("hull", "hull", "Show stable phases, voltages, and how two hulls agree."),
    "figures": Place("figures", "figures", "Draw the paper's figures and tables from your own results."),
    "report": Place("report", "report", "Write a report that opens in a browser, without a network."),
    "train": Place("train", "train", "Train a potential on a data set, with charge states or without."),
    "models": Place("train", "models", "List the models that a registry knows."),
    "search": Place("search", "app", "Search low-energy orderings under a potential; select some."),
    "rebuild": Place("rebuild", "rebuild", "Put into the store what it misses of the campaign's runs."),
}


def built(name: str) -> TyperCommand | TyperGroup:
    """A command or group of `COMMANDS`, imported."""
    place = COMMANDS[name]
    found = getattr(import_module(f".{place.module}", __package__), place.name)
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    if isinstance(found, typer.Typer):
        app.add_typer(found, name=name)
    else:
        app.command(name=name)(found)
    command: TyperCommand | TyperGroup = typer.main.get_group(app).commands[name]  # type: ignore[assignment]
    return command


class CommandsWhenCalled(TyperGroup):
    """The group of all commands."""

    def __init__(self, **attributes: Any) -> None:
        described = {name: TyperCommand(name, help=place.line) for name, place in COMMANDS.items()}
        super().__init__(**{**attributes, "commands": described})

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | TyperGroup | None:
        """The command itself, imported now."""
        return built(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands by their first lines, importing none."""
        TyperGroup(commands=self.commands).format_commands(ctx, formatter)  # type: ignore[arg-type]
