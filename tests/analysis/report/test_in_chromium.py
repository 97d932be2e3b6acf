"""The page in headless Chromium: it draws everything, asks for nothing, runs no script of a name, filters and shows."""

import base64
import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from valenceflow.analysis.report.page import page

from ..made_up import four_scores
from .made_up_store import failed, lost, olivine_calculations
from .test_page import evil_calculations, evil_report, report_of

HEADLESS = Path(__file__).resolve().parents[3] / "benchmarks" / "headless.py"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)")
BACKGROUND = ("google.com", "googleapis.com", "gvt1.com")
"""Hosts that Chromium itself may ask for, whatever is open."""

SCROLLED = """
(() => {
  const places = [...document.querySelectorAll("[data-chart]")];
  const isDrawn = (place) => place.classList.contains("js-plotly-plot");
  if (!document.documentElement.dataset.ready) return false;
  window.atFirst ??= places.filter(isDrawn).length;
  places.at(-1).scrollIntoView();
  const now = places.filter(isDrawn).length;
  return isDrawn(places.at(-1)) && window.atFirst < now && now < places.length;
})()
"""
"""True in a page whose last chart was scrolled to and drawn, while others out of view are not."""

PRINT = "dispatchEvent(new Event('beforeprint'))"
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


def drawn(shown):
    """Number of charts that were drawn."""
    return len(re.findall(r'<div class="[^"]*\bjs-plotly-plot\b', shown))


def and_then(text, script):
    """The page with a script that its policy lets run, once what is in view is there."""
    whole = (
        "(async () => { while (!document.documentElement.dataset.ready) await new Promise((d) => setTimeout(d, 50)); "
        f"{script} }})()"
    )
    digest = base64.b64encode(hashlib.sha256(whole.encode()).digest()).decode()
    allowed = text.replace("script-src ", f"script-src &#39;sha256-{digest}&#39; ", 1)
    return allowed.replace("</body>", f"<script>{whole}</script></body>")


@pytest.mark.slow
def test_everything_is_drawn_nothing_is_asked_for_and_no_name_runs_as_a_script(parts_of, olivine, tmp_path):
    made = evil_report(parts_of(evil_calculations(olivine)))
    file = tmp_path / "report.html"
    file.write_text(and_then(page(made), PRINT), encoding="utf-8")
    shown = in_chromium(file, f"--log-net-log={tmp_path / 'net.json'}")
    assert 'data-ready="yes"' in shown
    charts = [chart for charts in (*made.charts, *made.model_charts) for chart in charts]
    assert drawn(shown) == len(charts) > 5
    assert "hacked</title>" not in shown
    assert requests(tmp_path / "net.json") == set()
    careless = tmp_path / "careless.html"
    careless.write_text("<!doctype html><img src='http://evil.example/x'>", encoding="utf-8")
    in_chromium(careless, f"--log-net-log={tmp_path / 'careless.json'}")
    assert requests(tmp_path / "careless.json") == {"http://evil.example/x"}


def test_charts_out_of_view_are_drawn_when_they_come_near_it(parts_of, olivine, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(page(report_of(parts_of(olivine_calculations(olivine)), four_scores())), encoding="utf-8")
    specification = importlib.util.spec_from_file_location("headless", HEADLESS)
    headless = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(headless)
    browser = headless.Headless(CHROMIUM, tmp_path / "chromium")
    try:
        browser.opening(file, SCROLLED)  # raises where it never comes true
    finally:
        browser.close()


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
