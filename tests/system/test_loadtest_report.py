"""report.html in a real browser: moved elsewhere, without a network, as large as a laptop and as a phone."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from loadtest.report.page import render
from tests.system.browser import Browser
from tests.unit.loadtest.report import example
from tests.unit.loadtest.report.hostile import attacked

pytestmark = pytest.mark.system

SIZES = [(1280, 800), (390, 844)]
_BOX = """(() => {
  const box = document.querySelector(%r).getBoundingClientRect();
  return [box.left, box.top, box.right, box.bottom];
})()"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every example's page, each copied away from where it was written."""
    written, elsewhere = tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("elsewhere")
    for name, make in example.EXAMPLES.items():
        for variant, made in ((name, make()), (f"{name}-attacked", attacked(*make()))):
            (written / "report.html").write_text(render(*made), encoding="utf-8")
            shutil.copy(written / "report.html", elsewhere / f"{variant}.html")
    shutil.rmtree(written)
    return elsewhere


def opened(shown: Browser, page: Path, size: tuple[int, int], dark: bool = False) -> dict[str, Any]:
    """What the page complained of and asked for."""
    shown.complaints.clear()
    shown.requested.clear()
    shown.open(page, *size, dark=dark)
    asked = [address for address in shown.requested if not address.startswith("data:")]
    return {"complaints": list(shown.complaints), "asked for": asked}


@pytest.mark.parametrize("size", SIZES, ids=["laptop", "phone"])
@pytest.mark.parametrize("name", sorted(example.EXAMPLES))
def test_the_verdict_is_on_the_first_screen_and_nothing_complains(
    shown: Browser, pages: Path, name: str, size: tuple[int, int]
) -> None:
    """No console warning, no request but the page; verdict, promise, load and latency need no scrolling."""
    page = pages / f"{name}.html"

    assert {"complaints": [], "asked for": [page.as_uri()]} == opened(shown, page, size)
    assert example.EXAMPLES[name]()[0].judgement.verdict.name == shown.evaluate(
        "document.getElementById('verdict').textContent"
    )
    for selector in ("#verdict", ".promise", ".why", ".figures"):
        left, top, right, bottom = shown.evaluate(_BOX % selector)
        assert 0 <= left < right <= size[0], selector
        assert 0 <= top < bottom <= size[1], selector


@pytest.mark.parametrize("size", SIZES, ids=["laptop", "phone"])
@pytest.mark.parametrize("name", ["passed", "failed"])
def test_quality_too_is_on_the_first_screen(
    shown: Browser, pages: Path, name: str, size: tuple[int, int]
) -> None:
    """Where the ranking was measured, it is seen with the verdict."""
    opened(shown, pages / f"{name}.html", size)

    assert shown.evaluate(_BOX % ".seen")[3] <= size[1]


@pytest.mark.parametrize("name", sorted(example.EXAMPLES))
def test_a_phone_scrolls_down_and_never_sideways(shown: Browser, pages: Path, name: str) -> None:
    """Wide tables scroll in their own box, long names wrap."""
    for variant in (name, f"{name}-attacked"):
        opened(shown, pages / f"{variant}.html", SIZES[1])
        assert SIZES[1][0] == shown.evaluate("document.documentElement.scrollWidth"), variant


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_figure_is_drawn(shown: Browser, pages: Path, dark: bool) -> None:
    """Each has axes and a line, in the colours of the reader's theme."""
    opened(shown, pages / "failed.html", SIZES[0], dark)
    drawn = shown.evaluate(
        "[...document.querySelectorAll('.plot')].map(plot => plot.querySelectorAll('.trace').length)"
    )
    page = shown.evaluate("getComputedStyle(document.body).backgroundColor")

    assert 4 == len(drawn)
    assert all(drawn)
    assert ("rgb(19, 20, 23)" if dark else "rgb(251, 251, 249)") == page


@pytest.mark.parametrize("name", sorted(example.EXAMPLES))
def test_what_others_wrote_is_not_run(shown: Browser, pages: Path, name: str) -> None:
    """Neither by the page nor by the figures' own reading of markup."""
    page = pages / f"{name}-attacked.html"

    assert {"complaints": [], "asked for": [page.as_uri()]} == opened(shown, page, SIZES[0])
    assert shown.evaluate("window.broken === undefined")
    assert shown.evaluate("document.querySelectorAll('img, svg a').length === 0")


def test_the_browser_would_have_complained(shown: Browser, tmp_path: Path) -> None:
    """The test sees warnings, errors, exceptions and requests to elsewhere when there are some."""
    page = tmp_path / "bad.html"
    page.write_text(
        "<link rel=icon href='data:,'><script>console.warn('w'); console.error('e')</script>"
        "<script>undefined.x</script><img src='http://elsewhere.invalid/x.png'>"
    )
    found = opened(shown, page, SIZES[0])

    assert 4 == len(found["complaints"])
    assert [page.as_uri(), "http://elsewhere.invalid/x.png"] == found["asked for"]


def test_details_are_reached_by_keyboard(shown: Browser, pages: Path) -> None:
    """The first stop skips to the details, then come the page's own links, then boxes that scroll."""
    opened(shown, pages / "failed.html", SIZES[1])
    stops = shown.evaluate(
        "[...document.querySelectorAll('a[href], [tabindex]')].map(stop => stop.className || stop.tagName)"
    )

    assert "skip" == stops[0]
    assert "A" == stops[1]
    assert shown.evaluate("document.querySelectorAll('.scroll:not([tabindex=\"0\"])').length === 0")
