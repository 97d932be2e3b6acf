"""Runs in bad company: a disk that fills at every point of a run, and two `run` commands on one campaign at once.

    python benchmarks/reliability_runs.py [--points 12] [--rounds 5] [--markdown]

The disk is a file system in memory (root only): the same campaign runs on disks of growing size, each too small for all
of it, so that another write fails each time; then there is room, and the same command goes on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from kills import ENGINE, HARMS, check
from reliability_row import HEAD, Row, as_markdown, as_text

CAMPAIGN = """\
name: kills
host: olivine-NaFePO4
couple: Fe2+/Fe3+
working_ion: {Na: {fraction: 1/2, orderings: {sample: 1, seed: 1}}}
charge: {sample: 1, seed: 1}
end_members: false
"""
SMALLEST_KB, ROOM = 60, "200m"
REFUSED, FAILED = 2, 1


def command(verb: str, campaign: Path) -> subprocess.Popen[str]:
    """Start a command of the campaign."""
    words = [sys.executable, "-m", "valenceflow.cli.main", verb, str(campaign), *ENGINE]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def answer(verb: str, campaign: Path) -> tuple[int, str]:
    """Exit code and what a command says."""
    running = command(verb, campaign)
    out, err = running.communicate()
    return running.returncode, out + err


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[None]:
    """A file system in memory of a size."""
    place.mkdir()
    mount(place, f"size={size}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def mount(place: Path, options: str) -> None:
    """Mount it, or change the one that is there."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)


def full_disks(points: int) -> Row:
    """A campaign on disks that are too small, then with room."""
    harms: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    begin = perf_counter()
    with tempfile.TemporaryDirectory(prefix="valenceflow-disks-") as made:
        for number in range(points):
            place = Path(made) / f"disk-{number}"
            with small_disk(place, f"{round(SMALLEST_KB * 1.35**number)}k"):
                code, said = _on_small_disk(place)
                ends[_end(code, said)] += 1
                mount(place, f"remount,size={ROOM}")
                answer("retry", place / "kills.yaml")
                code, said = answer("run", place / "kills.yaml")
                harms["not finished with room"] += code != 0
                found = check(place / "kills.yaml")
                harms.update({name: found[name] for name in HARMS})
    told = ", ".join(f"{n} {what}" for what, n in ends.items())
    bad = +harms
    detail = (
        f"{told}; with room: {dict(bad) or 'all there, nothing doubled or repeated'}; {perf_counter() - begin:.0f} s"
    )
    good = not bad and not ends["with a traceback"]
    return Row("disk", f"{points} full disks", f"{harms['lost']} lost", detail, good)


def _on_small_disk(place: Path) -> tuple[int, str]:
    try:
        (place / "kills.yaml").write_text(CAMPAIGN, encoding="utf-8")
    except OSError:
        return REFUSED, "the campaign file itself did not fit"
    return answer("run", place / "kills.yaml")


def _end(code: int, said: str) -> str:
    if "Traceback" in said:
        return "with a traceback"
    return {REFUSED: "refused in one line", FAILED: "ended with what failed", 0: "ended in order"}.get(
        code, f"exit {code}"
    )


def two_at_once(rounds: int) -> Row:
    """Two `run` commands started together on one campaign."""
    harms: Counter[str] = Counter()
    refused = 0
    with tempfile.TemporaryDirectory(prefix="valenceflow-twice-") as made:
        for number in range(rounds):
            campaign = Path(made) / str(number) / "kills.yaml"
            campaign.parent.mkdir()
            campaign.write_text(CAMPAIGN, encoding="utf-8")
            both = [command("run", campaign) for _ in range(2)]
            said = ["".join(each.communicate()) for each in both]
            refused += sum(each.returncode == REFUSED for each in both)
            harms["tracebacks"] += sum("Traceback" in each for each in said)
            harms["neither finished"] += all(each.returncode for each in both)
            found = check(campaign)
            harms.update({name: found[name] for name in HARMS})
    bad = +harms
    detail = f"{refused} of {rounds} second ones refused, the others came late and found nothing to do; "
    return Row(
        "twice",
        f"two runs at once, {rounds} times",
        f"{harms['lost']} lost",
        f"{detail}{dict(bad) or 'no harm'}",
        not bad,
    )


def main() -> int:
    """Print the table; fails if anything was lost, doubled or repeated."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    show = as_markdown if options.markdown else as_text
    print(show(HEAD))
    rows = []
    for make in (lambda: full_disks(options.points), lambda: two_at_once(options.rounds)):
        rows.append(make())
        print(show(rows[-1].cells), flush=True)
    return int(any(not row.good for row in rows))


if __name__ == "__main__":
    sys.exit(main())
