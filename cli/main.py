"""The command line's door: registers one file per noun, and turns errors into one line with exit code 2.

Nothing heavy is imported here or at the top of a command's file, so that --help and status start at once.
"""

from __future__ import annotations

import sqlite3
import sys
from typing import Annotated

import typer

from . import (
    build,
    control,
    doctor,
    evaluate,
    export,
    figures,
    hull,
    ingest,
    init,
    orderings,
    query,
    rebuild,
    relax,
    report,
    run,
    search,
    status,
    train,
)

USER_ERROR = 2
INTERRUPTED = 130

app = typer.Typer(
    name="valenceflow",
    help="Charge-ordered DFT campaigns for mixed-valence materials.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:
    if value:
        from valenceflow import __version__  # noqa: PLC0415 - reads package metadata

        typer.echo(f"valenceflow {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option(help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Charge-ordered DFT campaigns for mixed-valence materials."""


app.add_typer(init.app, name="init")
app.command(name="doctor")(doctor.doctor)
app.command(name="run")(run.run)
app.command(name="status")(status.status)
app.command(name="retry")(run.retry)
app.command(name="pause")(control.pause)
app.command(name="cancel")(control.cancel)
app.command(name="ingest")(ingest.ingest)
app.command(name="build")(build.build)
app.add_typer(orderings.app, name="orderings")
app.command(name="query")(query.query)
app.command(name="export")(export.export)
app.command(name="relax")(relax.relax)
app.command(name="evaluate")(evaluate.evaluate)
app.command(name="hull")(hull.hull)
app.command(name="figures")(figures.figures)
app.command(name="report")(report.report)
app.command(name="train")(train.train)
app.command(name="models")(train.models)
app.add_typer(search.app, name="search")
app.command(name="rebuild")(rebuild.rebuild)


def main() -> None:
    """Run the command line; errors that a user can mend are one line."""
    try:
        app()
    except Exception as error:
        if "--debug" in sys.argv or not _can_be_mended(error):
            raise
        message = " ".join(str(error).split()) or type(error).__name__
        sys.stderr.write(f"valenceflow: {message}\n")
        raise SystemExit(USER_ERROR) from None
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None


def _can_be_mended(error: Exception) -> bool:
    """Whether an error is about what the user gave or where it runs, not about our code."""
    if isinstance(error, ValueError | OSError | sqlite3.Error):
        return True
    # maggma's and MongoDB's, by name: importing them would take half a second at every start.
    return any(kind.__name__ in ("StoreError", "PyMongoError") for kind in type(error).__mro__)


if __name__ == "__main__":
    main()
