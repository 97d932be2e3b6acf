"""The command line's door: options of every command (`commands` lists them), and errors as one line with exit code 2.

Nothing heavy is imported here or at the top of a command's file, so that --help and status start at once.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import suppress
from typing import Annotated

import typer

from .commands import CommandsWhenCalled

USER_ERROR = 2
INTERRUPTED = 130

app = typer.Typer(
    name="valenceflow",
    cls=CommandsWhenCalled,
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


def main() -> None:
    """Run the command line; errors that a user can mend are one line, and an object with `error` after --json."""
    try:
        app()
    except Exception as error:
        if "--debug" in sys.argv or not _can_be_mended(error):
            raise
        message = " ".join(_said(error).split()) or type(error).__name__
        if "--json" in sys.argv:
            with suppress(OSError):  # it may be what went wrong: a disk that is full
                sys.stdout.write(json.dumps({"error": message}) + "\n")
        sys.stderr.write(f"valenceflow: {message}\n")
        raise SystemExit(USER_ERROR) from None
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None


def _said(error: Exception) -> str:
    """An error's own words; of the system's with a file, the file first and no number."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _can_be_mended(error: Exception) -> bool:
    """Whether an error is about what the user gave or where it runs, not about our code."""
    if isinstance(error, ValueError | OSError | sqlite3.Error):
        return True
    # Our stores', maggma's and MongoDB's, by name: importing them would take half a second at every start.
    return any(kind.__name__ in ("CollectionError", "StoreError", "PyMongoError") for kind in type(error).__mro__)


if __name__ == "__main__":
    main()
