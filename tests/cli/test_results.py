"""The table at the end of a run fits its terminal, and what the audit noticed stands below it."""

from io import StringIO

import pytest
from rich.console import Console
from valenceflow.cli.results import LAYOUTS, MAX_NOTES, calculation_table, fitting_table, notes, summary_line
from valenceflow.cli.tables import broken, print_lines
from valenceflow.cli.wording import Exact, command, counted

ENGINE = "rehearsal:springs"
RECOVERY = "relax: continuation 1 from CONTCAR after 2 ionic steps"


def calculation(number, relation="kept", state="completed", findings=()):
    return {
        "configuration_id": str(number),
        "fraction": 0.5,
        "intended_key": f"3.{number}",
        "achieved_key": "3.5" if relation == "moved" else f"3.{number}",
        "relation": relation,
        "state": state,
        "energy_per_fu": -33.0,
        "magmoms_redox": [3.77, 4.33, -3.79, 4.35],
        "audit": {"passed": state == "completed", "findings": list(findings)},
        "engine": ENGINE,
        "protocol": "paper-2026",
        "protocol_hash": "a",
    }


def finding(message, code="tried"):
    return {"code": code, "severity": "info", "message": message}


def shown(table, width=200):
    console = Console(width=width, record=True, file=StringIO())
    console.print(table)
    return console.export_text()


@pytest.mark.parametrize(("width", "layout"), [(200, 0), (80, 0), (60, 1), (40, 2), (20, 2)])
def test_a_terminal_gets_the_fullest_table_that_fits_it(width, layout):
    table = fitting_table([calculation(1), calculation(2, "moved")], ENGINE, Console(width=width))
    assert tuple(column.header for column in table.columns) == LAYOUTS[layout]


def test_what_became_of_an_ordering_or_why_there_is_none_is_one_column():
    rows = [
        calculation(1),
        calculation(2, "moved"),
        calculation(3, "kept", "audit failed"),
        calculation(4, state="failed"),
    ]
    column = calculation_table(rows, ENGINE).columns[3]
    assert column.header == "outcome"
    assert list(column.cells) == ["kept", "lost: moved", "audit failed", "failed"]


def test_recoveries_stand_below_the_table_and_not_among_the_moments():
    rows = [calculation(1, findings=[finding(RECOVERY)]), calculation(2, findings=[finding("lost", code="ordering")])]
    assert "continuation" not in shown(calculation_table(rows, ENGINE))
    assert "3.77 4.33 3.79 4.35" in shown(calculation_table(rows, ENGINE))
    assert list(notes(rows)) == ["notes:", f"  x = 0.500 3.1: {RECOVERY}"]
    assert list(notes([calculation(1)])) == []


def test_of_many_notes_the_first_are_shown_and_the_way_to_the_others():
    lines = list(notes([calculation(n, findings=[finding(RECOVERY)]) for n in range(MAX_NOTES + 5)]))
    assert len(lines) == MAX_NOTES + 2
    assert "5 more" in lines[-1]
    assert "valenceflow query" in lines[-1]


def test_the_summary_counts_what_was_planned_in_the_words_of_status():
    rows = [calculation(1), calculation(2, "moved"), calculation(3, state="failed"), calculation(9)]
    line = summary_line(rows, {"1", "2", "3", "4"})
    assert line == "3 of 4 configurations done: 1 as meant, 1 lost, 0 audit failed, 1 failed, 1 missing"
    assert summary_line([], {"1"}).startswith("0 of 1 configuration done")


def test_one_is_not_several():
    assert [counted(n, "worker") for n in (0, 1, 2)] == ["0 workers", "1 worker", "2 workers"]


def test_commands_are_quoted_for_the_shell():
    assert command("retry", "a b.yaml", "vasp", "--reason", "vasp error") == (
        "valenceflow retry 'a b.yaml' --engine vasp --reason 'vasp error'"
    )


@pytest.mark.parametrize(
    ("header", "at", "lines"),
    [("audit failed", " ", "audit\nfailed"), ("energy_per_fu", "_", "energy_\nper_fu"), ("x", " ", "x")],
)
def test_headers_break_near_their_middle(header, at, lines):
    assert broken(header, at) == lines
    assert broken(lines, at) == lines


def test_lines_are_broken_between_words_on_a_terminal_alone(capsys):
    path = "/" + "folder/" * 12
    lines = [f"to do: look at what lies in {path} and mend it", Exact(f"  valenceflow run {path} --engine vasp")]
    print_lines(Console(width=30, force_terminal=True), lines)
    on_terminal = capsys.readouterr().out.splitlines()
    assert path in [line.strip() for line in on_terminal]
    assert lines[1] in on_terminal
    print_lines(Console(width=30), lines)
    assert capsys.readouterr().out.splitlines() == lines
