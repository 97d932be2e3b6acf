"""What `run` shows while it runs and at its end, and how it ends when it is asked to."""

import os
import signal
import time
from types import SimpleNamespace

import pytest
from rich.console import Console
from valenceflow.cli import watch
from valenceflow.cli.run import _report
from valenceflow.flows.progress import Busy, Progress
from valenceflow.stores.connect import sqlite_stores


@pytest.fixture
def handlers():
    """Signals as they were, whatever a test does; under nohup a closed terminal would be ignored."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield before
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_asked_to_end_says_what_is_kept(number, handlers, capsys):
    def run():
        with watch.orderly_end(Console()):
            os.kill(os.getpid(), number)
            time.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        run()
    said = capsys.readouterr().out
    assert "stopped; finished configurations are kept" in said
    assert ("Ctrl-C again kills them at once" in said) is (number == signal.SIGINT)
    assert {number: signal.getsignal(number) for number in handlers} == handlers


def test_under_nohup_a_closed_terminal_stops_nothing(handlers):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with watch.orderly_end(Console()):
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def prepared_with(keys, done=1, total=16):
    now = time.time()
    progress = Progress("vasp", workers=len(keys), total=total, done=done, timed=1, seconds=7200.0)
    for key in keys:
        progress.start(key, Busy(key, 0.5, now, "/nowhere"))
    return SimpleNamespace(progress=progress)


@pytest.mark.parametrize("width", [30, 40, 60, 80, 200])
def test_the_bar_fits_its_terminal_and_says_how_long_it_will_take(width):
    console = Console(width=width, force_terminal=True, record=True)
    prepared = prepared_with(["3.3", "3.5", "3.6", "3.9", "5.3"])
    bar = watch._bar(console, prepared)
    bar.add_task("starting", total=16, completed=1)
    console.print(bar.get_renderable())
    (line,) = console.export_text().splitlines()
    assert len(line) <= width
    assert "1/16 about 6 h 00 min left 3" in line
    if width >= 60:
        assert line.rstrip().endswith("3.3 3.5 3.6 +2")
    assert ("━" in line) is (width >= 80)


def test_at_its_end_a_run_says_which_engine_wrote_what_it_asked_of_another(tmp_path, capsys):
    stores = sqlite_stores(tmp_path / "store.sqlite")
    wrong = {
        "calculation_id": "c0-1",
        "configuration_id": "c0",
        "campaign": "small",
        "engine": "rehearsal:springs",
        "state": "audit failed",
        "relation": "kept",
        "fraction": 0.5,
        "latest": True,
        "energy_per_fu": -30.0,
    }
    stores.collection("calculations").update([wrong])
    prepared = SimpleNamespace(
        campaign=SimpleNamespace(file=SimpleNamespace(name="small")),
        engine="vasp",
        stores=stores,
        configurations=[SimpleNamespace(configuration_id="c0", calculation_id="c0-1")],
    )
    assert _report(Console(), prepared) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "1 of 1 configuration done: 0 as meant, 0 lost, 1 audit failed, 0 failed, 0 missing" in said
    assert "1 of them were run by rehearsal:springs, not by vasp: they do not count" in said
