"""What an export measures for its report, and the page that shows it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import msgspec
import numpy as np
import pytest

from export import latency, memory, picture, report_html
from export.gates.evidence import Evidence, Subject
from export.report import Report
from export.report_plot import Axis
from tests.unit.export.conftest import Exported


class Read(HTMLParser):
    """Every tag with its attributes, and every address."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]


@pytest.fixture(scope="module")
def page(exported: Exported) -> str:
    return (exported.path / "report.html").read_text(encoding="utf-8")


def test_the_page_needs_nothing_else(page: str) -> None:
    """No script, no link, no import, no address."""
    read = Read()
    read.feed(page)

    assert not {"script", "link", "iframe", "img", "object"} & set(read.tags)
    assert [] == read.addresses
    assert "url(" not in page
    assert "@import" not in page


def test_pictures_come_before_tables(page: str) -> None:
    """Verdict and tiles, then every picture, then what they are made of."""
    titles = re.findall(r"<figcaption>(.*?)</figcaption>", page)

    assert [
        "What a run costs",
        "Every slice",
        "Scores side by side",
        "How far scores are off",
        "What really runs",
    ] == titles
    assert page.index("accepted</h1>") < page.index('class="tiles"') < page.index("<figure")
    assert page.rindex("<figure") < page.index("<table")


def test_every_picture_is_sound_and_can_be_heard(page: str) -> None:
    """Well-formed, with a description, and nothing in it that is not a number where one belongs."""
    drawn = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)

    assert len(drawn) == 5
    for text in drawn:
        root = ET.fromstring(text)
        assert root.get("aria-label")
        assert "nan" not in text
        assert "inf" not in text.replace("info", "")


def test_the_report_survives_its_json(exported: Exported) -> None:
    """Slices, latency, memory and pictures are in report.json as they are in the value."""
    stored = msgspec.json.decode((exported.path / "report.json").read_bytes(), type=Report)

    assert len(stored.variants) == 2
    for variant in stored.variants:
        assert variant.slices
        assert variant.latency
        assert variant.scores is not None
    assert report_html.render(stored) == (exported.path / "report.html").read_text(encoding="utf-8")


def test_what_the_author_named_is_shown_as_text(exported: Exported) -> None:
    """A slice's name is no markup."""
    report = exported.report
    hostile = "<script>alert(1)</script>"
    variants = [
        msgspec.structs.replace(
            variant, slices=[msgspec.structs.replace(one, name=hostile) for one in variant.slices]
        )
        for variant in report.variants
    ]
    text = report_html.render(msgspec.structs.replace(report, variants=variants))

    assert hostile not in text
    assert "&lt;script&gt;" in text


def test_latency_has_a_point_per_shape(evidence: Evidence, fp32: Subject) -> None:
    """Quantiles in order, one request and several, nothing beyond the model's own limit."""
    points = latency.measure(evidence, fp32, seconds_max=1.0)

    assert {(p.requests, p.candidates) for p in points} == set(latency.POINTS)
    for point in points:
        assert 0 < point.p10_ms <= point.p50_ms <= point.p90_ms


def test_latency_stops_when_its_time_is_over(evidence: Evidence, fp32: Subject) -> None:
    """Without any time the smallest shape alone is measured, once."""
    points = latency.measure(evidence, fp32, seconds_max=0.0)

    assert [(1, 1, 1)] == [(p.requests, p.candidates, p.runs) for p in points]


def test_memory_counts_the_graph(evidence: Evidence, fp32: Subject) -> None:
    """Loading takes some memory, running at least as much."""
    found = memory.measure(evidence, fp32)

    assert found is not None
    assert 0 < found.load_bytes < 1 << 28
    assert found.peak_bytes > 0


def test_the_picture_counts_every_score(evidence: Evidence, fp32: Subject) -> None:
    """All scores are in the histogram, a sample of them in the scatter."""
    found = picture.scores(evidence, fp32)

    assert sum(found.counts) == sum(request.count for request in evidence.requests)
    assert len(found.exact) == len(found.got) == picture.POINTS
    np.testing.assert_allclose(found.exact, found.got, atol=1e-5)


@pytest.mark.parametrize(
    ("low", "high", "log"),
    [(0.0, 1.0, False), (-0.03, 0.02, False), (1.0, 1000.0, True), (0.02, 0.09, True), (3.0, 3.0, False)],
)
def test_ticks_are_few_and_inside(low: float, high: float, log: bool) -> None:
    """At least one, at most nine, ascending, on the axis."""
    axis = Axis(low, high, 0.0, 100.0, log)
    ticks = axis.ticks()

    assert 1 <= len(ticks) <= 9
    assert ticks == sorted(ticks)
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in ticks)
    assert all(0 <= axis.at(value) <= 100 for value in (*ticks, low - 1, high + 1))
