"""The status page of a real server in a real browser: desktop and phone, light and dark, in an overload."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bundles.tiny import TinyRanker
from tests.e2e.calls import dial
from tests.e2e.running import RunningServer
from tests.system.browser import Browser

pytestmark = pytest.mark.system

MOVIES = TinyRanker(name="movies", budget_ms=25)
SIZES = [(1280, 900), (380, 800)]
SLOW = ["--engine=fake", "--set=engine.fake.overhead_ms=4", "--set=engine.fake.row_us=40"]
BURST = 200
MODEL = "document.querySelector('section[aria-label=movies]')"


@contextmanager
def flooded(server: RunningServer) -> Iterator[None]:
    """Bursts, one upon the other, until the end: far more than can be answered."""
    over = threading.Event()

    def flood() -> None:
        message = MOVIES.message(MOVIES.example(40))
        with dial(server.target) as caller:
            while not over.is_set():
                for call in caller.send_all([message] * BURST):
                    call.answer()

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        server.wait_for(lambda scrape: scrape.total("podium_refusals_total", reason="OVERLOADED") > 0)
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture(scope="module")
def flood(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server in an overload, with a version that it refuses."""
    folder = tmp_path_factory.mktemp("server")
    MOVIES.write(folder / "models")
    TinyRanker(name="shelf").write(folder / "models")
    (folder / "models" / "shelf" / "1" / "bundle.json").write_text("{}")
    server = RunningServer.start(folder / "models", folder / "stderr.txt", SLOW)
    try:
        with flooded(server):
            yield server
    finally:
        code = server.stop()
    assert 0 == code


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", SIZES, ids=["desktop", "phone"])
def test_it_is_live_under_overload(
    shown: Browser, flood: RunningServer, size: tuple[int, int], dark: bool, tmp_path: Path
) -> None:
    """Nothing complains, nothing comes from elsewhere, nothing scrolls sideways, and the numbers move."""
    shown.complaints.clear()
    shown.requested.clear()
    shown.visit(flood.ops_url + "/", *size, dark=dark)
    (tmp_path / "page.png").write_bytes(shown.screenshot(whole=True))
    answered = "JSON.stringify([...document.querySelectorAll('[data-at]')].map(e => e.textContent))"
    before = shown.evaluate(answered)
    moved = f"""(async () => {{
      for (let i = 0; i < 100; i++) {{
        if ({answered} !== {before!r}) return true;
        await new Promise(done => setTimeout(done, 100));
      }}
      return false;
    }})()"""
    assert shown.evaluate(moved)
    assert [] == shown.complaints
    ours = [address for address in shown.requested if not address.startswith("data:")]
    assert {flood.ops_url + "/", flood.ops_url + "/status.json"} >= set(ours)
    assert size[0] == shown.evaluate("document.documentElement.scrollWidth")
    assert ("rgb(19, 20, 23)" if dark else "rgb(251, 251, 249)") == shown.evaluate(
        "getComputedStyle(document.body).backgroundColor"
    )


def test_it_says_what_matters(shown: Browser, flood: RunningServer) -> None:
    """State, budget, refusals by reason, a drawn cost model, the refused version and why, configuration."""
    shown.visit(flood.ops_url + "/", *SIZES[0])
    text = shown.evaluate("document.querySelector('main').textContent")
    for words in ("Not ready: no serving version: shelf", "movies version 1", "default 25 ms", "OVERLOADED"):
        assert words in text
    assert shown.evaluate(f"{MODEL}.querySelectorAll('svg .curve').length") == 2
    assert "shelf" in shown.evaluate("document.querySelector('#refused tbody').textContent")
    assert "batch.rows_max512" in shown.evaluate("document.querySelector('#keys tbody').textContent")


def test_without_scripts_it_can_be_read(shown: Browser, flood: RunningServer) -> None:
    """The server writes the first state; only the button to pause is missing."""
    shown.visit(flood.ops_url + "/", *SIZES[1], scripts=False)
    assert "Goodput" in shown.evaluate(f"{MODEL}.textContent")
    assert shown.evaluate("document.getElementById('pause').hidden")
    assert "As it was when the page was loaded." == shown.evaluate(
        "document.getElementById('said').textContent"
    )


def test_keyboard_and_reader_find_their_way(shown: Browser, flood: RunningServer) -> None:
    """First a link to the state; landmarks; tables have captions and heads; boxes that scroll take focus."""
    shown.visit(flood.ops_url + "/", *SIZES[1])
    stops = "[...document.querySelectorAll('a[href], button, summary, [tabindex=\"0\"]')]"
    assert "skip" == shown.evaluate(f"{stops}[0].className")
    assert shown.evaluate(
        "['header', 'main', 'footer'].every(tag => document.querySelectorAll(tag).length === 1)"
    )
    assert shown.evaluate(
        "[...document.querySelectorAll('table')].every(table => table.caption && table.tHead && "
        "[...table.tBodies[0].rows].every(row => row.cells[0].scope === 'row'))"
    )
    assert shown.evaluate("document.querySelectorAll('.scroll:not([tabindex=\"0\"])').length === 0")
    shown.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
    assert "skip" == shown.evaluate("document.activeElement.className")
    assert "none" != shown.evaluate("getComputedStyle(document.activeElement).outlineStyle")


def test_it_says_when_the_server_is_gone(shown: Browser, tmp_path: Path) -> None:
    """What is shown then is marked as old."""
    MOVIES.write(tmp_path / "models")
    server = RunningServer.start(tmp_path / "models", tmp_path / "stderr.txt", [])
    try:
        shown.visit(server.ops_url + "/", *SIZES[0])
    finally:
        server.stop()
    gone = """(async () => {
      for (let i = 0; i < 100 && !document.body.classList.contains('old'); i++)
        await new Promise(done => setTimeout(done, 100));
      return document.getElementById('said').textContent;
    })()"""
    assert "The server does not answer; what you see is old." == shown.evaluate(gone)
