"""The page in headless Chromium: it draws everything, asks for nothing, runs no script of a name, filters and shows."""

import json
import re
import shutil
import subprocess

import pytest
from valenceflow.analysis.report.page import page

from ..made_up import four_scores
from .made_up_store import failed, lost, olivine_calculations
from .test_page import evil_calculations, evil_report, report_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)")
BACKGROUND = ("google.com", "googleapis.com", "gvt1.com")
"""Hosts that Chromium itself may ask for, whatever is open."""

ACTIONS = """
const settle = () => new Promise((done) => setTimeout(done, 50));
const say = (name, value) => document.body.setAttribute("data-said-" + name, value);
const shown = () => [...document.querySelectorAll("table.orderings tbody tr")].filter((row) => !row.hidden);
const choose = (by, value) => {
  const form = document.querySelector("form.filters");
  form.reset();
  form.querySelector(`[data-by=${by}]`).value = value;
  form.dispatchEvent(new Event("input"));
};
const ink = () => {
  const canvas = document.getElementById("viewer-canvas");
  return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.filter((v) => v).length;
};
(async () => {
  while (!document.documentElement.dataset.ready) await settle();
  say("ink", ink());
  choose("kind", "lost");
  say("lost", shown().map((row) => row.cells[1].textContent).join());
  shown()[0].click();
  await settle();
  say("which", document.getElementById("viewer-which").textContent);
  say("legend", document.getElementById("viewer-legend").textContent);
  say("sites", [...document.querySelectorAll("#viewer-sites tr")].slice(1).map((r) => r.cells[2].textContent).join());
  choose("energy", "50");
  say("low", shown().map((row) => row.cells[1].textContent).join());
  choose("text", "it broke");
  say("found", document.querySelector("form.filters output").textContent);
  choose("x", "0.500");
  document.querySelectorAll("table.orderings thead button")[4].click();
  say("sorted", shown().map((row) => row.cells[4].textContent).join());
  say("done", "yes");
})();
"""


def in_chromium(file, *options):
    """The page's elements after its scripts have run."""
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        f"--user-data-dir={file.parent / 'chromium'}", "--window-size=1400,1000", "--virtual-time-budget=20000",
        *options, "--dump-dom", file.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


def requests(log):
    """Addresses that a page had Chromium ask for, from Chromium's own log of the network."""
    events = json.loads(log.read_text())["events"]
    asked = {e["params"]["url"] for e in events if "url" in e.get("params", {})}
    return {url for url in asked if not any(host in url for host in BACKGROUND)}


def test_everything_is_drawn_nothing_is_asked_for_and_no_name_runs_as_a_script(parts_of, olivine, tmp_path):
    made = evil_report(parts_of(evil_calculations(olivine)))
    file = tmp_path / "report.html"
    file.write_text(page(made), encoding="utf-8")
    shown = in_chromium(file, f"--log-net-log={tmp_path / 'net.json'}")
    assert 'data-ready="yes"' in shown
    charts = [chart for charts in (*made.charts, *made.model_charts) for chart in charts]
    assert len(re.findall(r'<div class="[^"]*\bjs-plotly-plot\b', shown)) == len(charts) > 5
    assert "hacked</title>" not in shown
    assert requests(tmp_path / "net.json") == set()
    careless = tmp_path / "careless.html"
    careless.write_text("<!doctype html><img src='http://evil.example/x'>", encoding="utf-8")
    in_chromium(careless, f"--log-net-log={tmp_path / 'careless.json'}")
    assert requests(tmp_path / "careless.json") == {"http://evil.example/x"}


def test_filters_sorting_and_the_viewer_answer(parts_of, olivine, tmp_path):
    calculations = [*olivine_calculations(olivine), lost(olivine, "3", "c"), failed(olivine)]
    text = page(report_of(parts_of(calculations), four_scores()))
    file = tmp_path / "report.html"
    # The page's policy would rightly not run our script.
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text, count=1)
    file.write_text(text.replace("</body>", f"<script>{ACTIONS}</script></body>"), encoding="utf-8")
    said = dict(re.findall(r'data-said-(\w+)="([^"]*)"', in_chromium(file)))
    assert said["done"] == "yes"
    assert int(said["ink"]) > 10_000
    assert said["lost"] == "3.c"
    assert "3.c at x = 0.500: \N{MULTIPLICATION X} lost: moved" in said["which"]
    assert "ring: not the state that was meant" in said["legend"]
    assert "vacant Na site (2)" in said["legend"]
    assert said["sites"] == "Fe2+,Fe2+,Fe3+,Fe3+"
    assert set(said["low"].split(",")) == {"f.0", "0.f", "7.1", "3.3", "3.5", "3.c"}
    assert said["found"] == "1 of 8"
    assert said["sorted"] == "-70.0,-60.0,-20.0,15.0,-"
