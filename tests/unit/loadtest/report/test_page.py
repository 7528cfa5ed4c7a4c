"""report.html: whole, self-contained, escaped, the same for the same run."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from loadtest.report import words
from loadtest.report.page import render
from loadtest.result import Run, Window
from tests.unit.loadtest.report import example
from tests.unit.loadtest.report.hostile import attacked

_SCRIPT = re.compile(r"<script>.*?</script>", re.DOTALL)
_VOID = {"meta", "link", "br", "img"}


class Outline(HTMLParser):
    """What a browser would make of it: open tags, ids, classes, links, text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in _VOID:
            self.open.append(tag)
        found = dict(attrs)
        assert not [name for name in found if name.startswith("on")]
        self.ids += [found["id"] or ""] if "id" in found else []
        self.links += [found[key] or "" for key in ("src", "href") if key in found]

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(page: str) -> Outline:
    """The page without its code; the figures' data is left in."""
    outline = Outline()
    outline.feed(_SCRIPT.sub("", page))
    return outline


def figures(page: str) -> dict[str, Any]:
    """The figures' data by element."""
    found = re.search(r'<script type="application/json" id="figures">(.*?)</script>', page, re.DOTALL)
    return json.loads(found[1]) if found else {}


@pytest.mark.parametrize("name", sorted(example.EXAMPLES))
def test_the_page_is_whole_and_loads_nothing(name: str) -> None:
    """Every tag closes, every id is one element's, and links lead only into the page."""
    outline = read(render(*example.EXAMPLES[name]()))

    assert [] == outline.open
    assert len(set(outline.ids)) == len(outline.ids)
    assert {link[1:] for link in outline.links if link.startswith("#")} <= set(outline.ids)
    assert ["data:,"] == [link for link in outline.links if not link.startswith("#")]


@pytest.mark.parametrize("name", sorted(example.EXAMPLES))
def test_what_others_wrote_adds_no_element(name: str) -> None:
    """A page with an attack in every free text has the elements of the page without."""
    made = example.EXAMPLES[name]()
    plain, hostile = read(render(*made)), read(render(*attacked(*made)))

    assert [] == hostile.open
    assert [] == [tag for tag in hostile.tags if tag in ("img", "a") and tag not in plain.tags]
    assert plain.tags.count("a") == hostile.tags.count("a")
    assert plain.tags.count("script") == hostile.tags.count("script")
    assert not [link for link in hostile.links if "http" in link]


@pytest.mark.parametrize("name", sorted(example.EXAMPLES))
def test_no_section_is_only_a_heading(name: str) -> None:
    """What a run has nothing to say about is left out, of the contents too."""
    page = _SCRIPT.sub("", render(*example.EXAMPLES[name]()))

    assert [] == re.findall(r"</h2>\s*</section>", page)
    assert re.findall(r'<section id="(\w+)"', page) == re.findall(r'<li><a href="#(\w+)"', page)


@pytest.mark.parametrize(("name", "said"), [("passed", "No guard tripped"), ("invalid", "2 guards tripped")])
def test_a_warm_ups_guards_do_not_count(name: str, said: str) -> None:
    """What is not judged cannot void a run, and is not said to."""
    page = render(*example.EXAMPLES[name]())

    assert said in page
    assert (2 if name == "invalid" else 0) == page.count(">TRIPPED<")


def test_a_loss_next_to_nothing_is_named_and_not_drawn() -> None:
    """A sliver has the width of a pixel whatever it stands for: none is drawn for what rounds to 0.0000."""
    bar = first_bar(render(*example.passed()))

    assert ["prior order", "gained", "quantisation"] == re.findall(r'title="([^"]+)"', bar)


def first_bar(page: str) -> str:
    """The bar of the first screen."""
    return page[page.index('<div class="stack"') : page.index('<ul class="key">')]


def test_equal_runs_give_equal_pages() -> None:
    """No clock, no random id: a page can be compared with an earlier one."""
    assert render(*example.failed()) == render(*example.failed())


def test_the_drawing_code_is_in_the_page_once_and_only_where_something_is_drawn() -> None:
    """Five megabytes, not ten; none for a run of which nothing was measured."""
    assert 1 == render(*example.failed()).count("plotly.js v")
    assert 0 == render(*example.empty()).count("<script")


@pytest.mark.parametrize("name", sorted(example.EXAMPLES))
def test_the_verdict_comes_before_load_and_latency_and_these_before_quality(name: str) -> None:
    """The order in which a reader must see them."""
    run, windows = example.EXAMPLES[name]()
    text = " ".join(read(render(run, windows)).text)
    wanted = [
        f" {run.judgement.verdict.name} ",
        words.promise(run),
        "offered load",
        "goodput",
        "of the admitted",
    ]
    wanted += ["as users saw it"] if run.quality and run.counts else []
    places = [text.index(entry, text.index("Podium load test:")) for entry in wanted]

    assert sorted(places) == places


@pytest.mark.parametrize("rule", words.RULES)
def test_the_rules_of_measurement_are_printed(rule: str) -> None:
    """In every report, the run that failed early included."""
    assert any(rule == text for text in read(render(*example.empty())).text)


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("passed", ["timeline", "percentiles", "candidates"]),
        ("failed", ["timeline", "percentiles", "loads", "candidates"]),
        ("interrupted", ["timeline", "percentiles"]),
        ("empty", []),
    ],
)
def test_what_has_no_data_has_no_figure(name: str, drawn: list[str]) -> None:
    """A curve over load needs three different ones; deciles need requests."""
    page = render(*example.EXAMPLES[name]())
    elements = [entry.removeprefix("figure-") for entry in read(page).ids if entry.startswith("figure-")]

    assert drawn == elements
    assert drawn == [entry.removeprefix("figure-") for entry in figures(page)]


def test_what_was_never_answered_is_drawn_at_the_top_and_too_few_as_a_gap() -> None:
    """∞ has a tick of its own above every number; None is no point at all."""
    run, windows = example.failed()
    windows[0] = _blank(windows[0])
    figure = figures(render(run, windows))["figure-timeline"]
    axis = figure["layout"]["yaxis2"]
    longest = next(trace for trace in figure["traces"] if trace["name"] == "max")
    never = [at for at, window in enumerate(windows) if window.max_ms == "inf"]

    assert "∞" == axis["ticktext"][-1]
    assert {axis["tickvals"][-1]} == {longest["y"][at] for at in never}
    assert max(y for at, y in enumerate(longest["y"]) if y and at not in never) < axis["tickvals"][-1]
    assert longest["y"][0] is None


def test_a_second_without_requests_is_a_gap_and_not_a_bridge() -> None:
    """Between drained phases nothing is due: the rate falls to 0, and no line is drawn across."""
    run, windows = example.passed()
    del windows[20:22]
    traces = {
        trace["name"]: (trace["x"], trace["y"])
        for trace in figures(render(run, windows))["figure-timeline"]["traces"]
    }

    assert [20.0, 21.0] == traces["offered"][0][20:22]
    assert [0, 0] == traces["offered"][1][20:22]
    assert [None, None] == traces["p99"][1][20:22]


def test_refused_late_and_in_time_add_up_to_the_offered() -> None:
    """The stack's height is the offered line, second by second."""
    run, windows = example.failed()
    traces = {
        trace["name"]: trace["y"] for trace in figures(render(run, windows))["figure-timeline"]["traces"]
    }
    stacked = [
        sum(parts) for parts in zip(traces["in time"], traces["late or lost"], traces["refused"], strict=True)
    ]

    assert traces["offered"] == stacked


def test_the_scale_is_read_in_both_themes() -> None:
    """Every colour of a figure is a variable of the page, set for light and for dark."""
    page = render(*example.failed())
    light, dark = page.split("@media (prefers-color-scheme: dark)")[0:2]
    used = set(re.findall(r'"(--[a-z]+)"', json.dumps(figures(page))))

    assert used
    assert used <= set(re.findall(r"(--[a-z]+):", light))
    assert used <= set(re.findall(r"(--[a-z]+):", dark.split("}\n}")[0]))


def _blank(window: Window) -> Window:
    values: dict[str, Any] = {name: getattr(window, name) for name in window.__struct_fields__}
    return Window(**{**values, "p50_ms": None, "p99_ms": None, "max_ms": None})


def test_a_negative_loss_is_named_and_not_drawn() -> None:
    """Chance may make a degraded order better; a bar has no negative length."""
    import msgspec

    run, windows = example.passed()
    assert run.quality is not None
    assert run.quality.losses is not None
    losses = msgspec.structs.replace(run.quality.losses, degradation=-0.0021)
    quality = msgspec.structs.replace(run.quality, losses=losses)
    changed: Run = msgspec.structs.replace(run, quality=quality)
    page = render(changed, windows)

    assert "<b>+0.0021</b>" in page
    assert "width:-" not in page
