"""An export's report.html in a real browser: moved elsewhere, without a network, large and small."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from export.pipeline import export
from tests.export_specs import three_heads, tiny
from tests.system.browser import Browser

pytestmark = pytest.mark.system

SIZES = [(1280, 900), (380, 800)]
_OVERFLOWING = """[...document.querySelectorAll('figure, .tile, h1, h2, p, svg, svg text')].filter(part => {
  const box = part.getBoundingClientRect();
  const around = (part.closest('svg') || document.documentElement).getBoundingClientRect();
  return box.left < around.left - 1 || box.right > around.right + 1;
}).map(part => part.textContent.slice(0, 60))"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports of a ranker with one head and of one with several, copied away from their bundles."""
    elsewhere, found = tmp_path_factory.mktemp("elsewhere"), {}
    for spec in (tiny.spec(), three_heads.spec()):
        report = export(spec, tmp_path_factory.mktemp("models"), source="x:y")
        found[spec.name] = elsewhere / f"{spec.name}.html"
        shutil.move(Path(report.path) / "report.html", found[spec.name])
    return found


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", SIZES, ids=["laptop", "phone"])
def test_nothing_is_fetched_and_nothing_overflows(
    shown: Browser, pages: dict[str, Path], size: tuple[int, int], dark: bool
) -> None:
    """No request but the page, no complaint, no sideways scrolling, no text outside its picture."""
    for name, page in pages.items():
        shown.complaints.clear()
        shown.requested.clear()
        shown.open(page, *size, dark=dark)

        assert [] == shown.complaints, name
        assert [page.as_uri()] == shown.requested, name
        assert size[0] == shown.evaluate("document.documentElement.scrollWidth"), name
        assert [] == shown.evaluate(_OVERFLOWING), name


@pytest.mark.parametrize("size", SIZES, ids=["laptop", "phone"])
def test_verdict_and_tiles_are_on_the_first_screen(
    shown: Browser, pages: dict[str, Path], size: tuple[int, int]
) -> None:
    """What was decided, and the first picture's title, need no scrolling."""
    shown.open(pages["tiny"], *size)
    for selector in ("h1", ".tiles", "figcaption"):
        bottom = shown.evaluate(f"document.querySelector({selector!r}).getBoundingClientRect().bottom")
        assert 0 < bottom <= size[1], selector


def test_text_in_a_picture_can_be_read_on_a_phone(shown: Browser, pages: dict[str, Path]) -> None:
    """At least nine CSS pixels high on 380."""
    shown.open(pages["tiny"], *SIZES[1])
    heights = shown.evaluate(
        "[...document.querySelectorAll('svg text')].map(text => parseFloat(getComputedStyle(text).fontSize)"
        " * text.closest('svg').getBoundingClientRect().width / 440)"
    )

    assert min(heights) >= 9


def test_dark_and_light_differ(shown: Browser, pages: dict[str, Path]) -> None:
    """The page follows the reader's system."""
    colours = []
    for dark in (False, True):
        shown.open(pages["tiny"], *SIZES[0], dark=dark)
        colours.append(shown.evaluate("getComputedStyle(document.body).backgroundColor"))

    assert ["rgb(252, 252, 253)", "rgb(17, 17, 19)"] == colours
