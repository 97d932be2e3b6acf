"""The page is whole: nothing is loaded, nothing of a document becomes markup, and its tables need no script."""

import base64
import hashlib
import json
import re
from dataclasses import replace

import pytest
from plotly.offline import get_plotlyjs
from valenceflow.analysis.report.campaign_charts import charts_of
from valenceflow.analysis.report.cards import DataSetCard
from valenceflow.analysis.report.model_charts import charts_of_models
from valenceflow.analysis.report.models import Scored, comparisons
from valenceflow.analysis.report.page import Advice, Report, page
from valenceflow.analysis.report.remedies import Note
from valenceflow.analysis.report.structures import encoded

from ..made_up import four_scores, scores
from .made_up_store import failed, lost, olivine_calculations
from .reading_html import Page

BASIC = {"scatter", "bar"}
EVIL = "</script><script>document.title='hacked'</script><img src=http://evil.example/x onerror=\"1\">'\"&amp;{{7*7}}"
CARD = DataSetCard("a set", "rehearsal:springs", "# Card\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n", "c" * 64)


def report_of(parts, models=(), **changes):
    found = comparisons([Scored(s, s.model) for s in models])
    engines = [part.group.engine for part in parts] + [c.first.engine for c in found]
    made = Report(
        title="olivine", engines=engines, parts=parts, comparisons=found,
        charts=[charts_of(part, f"part-{n}") for n, part in enumerate(parts, 1)],
        model_charts=[charts_of_models(c, f"models-{n}") for n, c in enumerate(found, 1)],
        structures=encoded(parts, [row for part in parts for row in part.rows if row.member["final"]]),
        summary=[("host", "olivine")], counts=(["engine", "x"], [["rehearsal:springs", "0.500"]]),
    )  # fmt: skip
    return replace(made, **changes)


@pytest.fixture
def whole(parts_of, olivine):
    """A report with everything in it."""
    parts = parts_of([*olivine_calculations(olivine), lost(olivine, "3", "c"), failed(olivine)])
    advice = [[Advice("1 failed: it broke"), Advice("valenceflow retry c.yaml", is_command=True)]]
    return report_of(parts, four_scores(), failures=advice, lost=advice, cards=[CARD],
                     notes=[Note("something is missing", "mend it", "valenceflow run c.yaml")])  # fmt: skip


def evil_calculations(olivine):
    made = [c | {"host": EVIL, "campaign": EVIL, "protocol": EVIL, "strata": [EVIL]}
            for c in olivine_calculations(olivine)]  # fmt: skip
    names = {"host": EVIL, "campaign": EVIL, "protocol": EVIL}
    return [*made, failed(olivine, message=EVIL, **names)]


def evil_report(parts):
    model = scores(EVIL, "mace", True, 0.01, data_set=EVIL, left_out={EVIL: 1}, settings={EVIL: EVIL})
    advice = [[Advice(EVIL), Advice(EVIL, is_command=True)]]
    return report_of(
        parts, [model, scores("good", "mace", True, data_set=EVIL, settings={EVIL: EVIL})], title=EVIL, failures=advice,
        lost=advice, summary=[(EVIL, EVIL)], counts=([EVIL], [[EVIL]]), notes=[Note(EVIL, EVIL, EVIL)],
        cards=[DataSetCard(EVIL, EVIL, f"# {EVIL}\n\n{EVIL}\n\n![p](http://evil.example/p.png)\n", EVIL)],
    )  # fmt: skip


def test_the_same_report_gives_the_same_bytes(whole):
    assert page(whole) == page(whole)


def test_nothing_is_loaded_from_anywhere(whole):
    text = page(whole)
    found = Page(text)
    for tag, attributes in found.elements:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            value = attributes.get(name) or ""
            assert value.startswith(("#", "data:")) or not value, (tag, name, value[:80])
    style = next(raw for raw in found.raw.values() if "--ink" in raw)
    assert "url(" not in style
    assert "@import" not in style
    (policy,) = [m["content"] for m in found.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data: blob:"
    assert "http" not in policy
    assert "unsafe" not in rules["script-src"]


def test_the_policy_names_every_script_that_may_run_by_its_hash(whole):
    found = Page(page(whole))
    (policy,) = [m["content"] for m in found.all("meta") if m.get("http-equiv")]
    scripts = [found.raw[n] for n, (tag, a) in enumerate(found.elements, 1) if tag == "script" and not a]
    assert len(scripts) == 2
    for script in scripts:
        assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy


def test_charts_are_of_the_kinds_that_the_pages_plotly_draws(whole):
    found = Page(page(whole))
    charts = json.loads(found.script("chart-data"))
    assert {trace["type"] for chart in charts.values() for trace in chart["data"]} == BASIC


def test_the_pages_plotly_is_that_of_the_plotly_that_reads_the_charts_in_tests(whole):
    (real,) = re.findall(r"plotly\.js v([\d.]+)", get_plotlyjs()[:200])
    assert f"charts by plotly.js {real} (MIT licence, Plotly, Inc.)" in Page(page(whole)).text


def test_names_that_are_markup_stay_text(parts_of, olivine):
    parts = parts_of(evil_calculations(olivine))
    found, plain = Page(page(evil_report(parts))), Page(page(replace(evil_report(parts), title="t")))
    assert len(found.all("script")) == len(plain.all("script")) == 5  # structures, chart data, plotly, two of ours
    assert found.all("img") == []
    assert not [a for _, a in found.elements if any(name.startswith("on") for name in a)]
    assert EVIL in found.text  # {{7*7}} too: no template within a text was carried out
    charts = json.loads(found.script("chart-data"))
    shown = json.dumps([trace.get("name") for chart in charts.values() for trace in chart["data"]])
    assert "<" not in shown
    assert "&lt;script&gt;" in shown


def test_tables_hold_every_calculation_and_command_without_scripts(whole):
    found = Page(page(whole))
    rows = [a for a in found.all("tr") if "data-id" in a]
    assert {a["data-id"] for a in rows} == {row.identity for part in whole.parts for row in part.rows}
    assert all("hidden" in a for a in found.all("form"))  # filters come with the scripts that they need
    for text in ("valenceflow retry c.yaml", "valenceflow run c.yaml", "lost: moved", "chgnet-states", "3.5", "-60.0"):
        assert text in found.text


def test_a_rehearsal_says_so_at_every_title_table_and_chart(whole):
    found = Page(page(whole))
    assert "(REHEARSAL, not DFT: rehearsal:springs)" in found.text  # the title
    captions = len(found.all("caption")) + len(found.all("figcaption")) + len(whole.parts) + len(found.all("title"))
    assert found.text.count("REHEARSAL, not DFT") >= captions
    stamps = [c.layout["annotations"][0]["text"] for charts in (*whole.charts, *whole.model_charts) for c in charts]
    assert all(stamp.startswith("REHEARSAL, not DFT: ") for stamp in stamps)


def test_real_numbers_are_never_called_a_rehearsal(parts_of, olivine):
    parts = parts_of([c | {"engine": "vasp"} for c in olivine_calculations(olivine)])
    assert "REHEARSAL" not in page(report_of(parts, [scores("m", "mace", True, engine="vasp")]))


def test_structures_of_the_page_are_those_of_the_calculations(whole):
    found = Page(page(whole))
    assert found.unpacked("packed-structures") == whole.structures


def test_a_card_is_shown_with_its_tables_and_without_pictures(whole):
    card = replace(CARD, card=CARD.card + "\n![p](http://evil.example/p.png) <b onclick=1>raw</b>\n")
    text = page(replace(whole, cards=[card]))
    assert "<td>1</td>" in text
    found = Page(text)
    assert found.all("img") == []
    assert "<b onclick=1>raw</b>" in found.text


def test_a_report_of_models_alone_needs_no_campaign():
    found = Page(page(report_of([], four_scores())))
    assert not [a for a in found.all("aside") if a.get("id") == "viewer"]
    assert len([a for a in found.all("div") if "data-chart" in a]) == 9
