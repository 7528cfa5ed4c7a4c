"""A run in HTML and in JSON says what the run found."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from loadtest import report, run, summary, verdict
from loadtest.plan import Plan
from loadtest.records import ANSWERED, ENDINGS, Records
from loadtest.run import Run
from tests.unit.loadtest.made import answered_after, made


def make_run(measured: Records) -> Run:
    """A run with these records."""
    plan = Plan(target="h:1", requests="r", rate_per_s=100, duration_s=1, budget_ms=25)
    numbers = summary.fold(measured, plan.budget_ms, plan.duration_s)
    return Run(
        created="2026-01-01T00:00:00+00:00",
        plan=plan,
        schedule_sha256="a" * 64,
        requests_sha256="b" * 64,
        messages=1,
        candidates=(5, 5, 5),
        client_cpu=[0.1],
        guards=verdict.Guards(send_lag_p99_ms=0, client_cpu=0.1, unsent=0),
        summary=numbers,
        judgement=verdict.judge(numbers.admitted, numbers.violations, 0.99, 0.99, []),
        environment={"cpu": "<cpu>", "cores": "2"},
    )


class Balance(HTMLParser):
    """Finds tags that do not close, and scripts or links to elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.foreign: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        if tag in ("script", "link", "img") or any(name in ("src", "href") for name, _ in attrs):
            self.foreign.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag that closes itself leaves nothing open."""

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()


@pytest.mark.parametrize(
    "endings", [["answered"] * 500, list(ENDINGS), ["overloaded"]], ids=["pass", "all", "none"]
)
def test_the_fragment_is_whole_and_self_contained(endings: list[str]) -> None:
    """Whatever happened, every tag closes, and nothing is loaded from elsewhere."""
    fragment = report.render(make_run(made(*((0.0, 0.0, 1.0, ending) for ending in endings))))
    parser = Balance()
    parser.feed(fragment)

    assert ([], []) == (parser.open, parser.foreign)


def test_the_fragment_says_the_verdict_and_escapes_what_others_wrote() -> None:
    """Verdict and refusals are in it; a reason or a CPU's name cannot smuggle markup in."""
    records = made(
        *[(0.0, 0.0, 1.0, ANSWERED)] * 500, (0.0, 0.0, 1.0, "overloaded"), reasons=("", "<b>OVER</b>")
    )
    records.rows["reason"][-1] = 1
    fragment = report.render(make_run(records))

    assert ">PASS</span>" in fragment
    assert "1 overloaded: &lt;b&gt;OVER&lt;/b&gt;" in fragment
    assert "&lt;cpu&gt;" in fragment


def test_a_run_is_read_as_written(tmp_path: Path) -> None:
    """run.json holds the whole result, +inf as null."""
    before = make_run(made((0.0, 0.0, 1.0, ANSWERED), (0.0, 0.0, 1.0, "failed")))
    run.save(before, answered_after(1.0), tmp_path / "out", report.render(before))

    assert before == run.load(tmp_path / "out")
    assert '"max_ms": null' in (tmp_path / "out" / run.RUN_FILE).read_text()


def test_another_file_is_no_run(tmp_path: Path) -> None:
    """A run.json of another form is refused by name."""
    (tmp_path / run.RUN_FILE).write_text("{}")

    with pytest.raises(ValueError, match=r"run\.json"):
        run.load(tmp_path)
