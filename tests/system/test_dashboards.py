"""Every query of every panel, asked of a real Prometheus that has watched real servers in trouble.

What is not shown here: that Grafana draws it. Grafana has never been run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.system.dashboards import Asked, ask, dashboards, fault, offered, queries
from tests.system.eventful import ILL, MODELS, NEWS, SHOP, Watched, watched

pytestmark = pytest.mark.system

ASKED = list(queries())
VARIABLES = {
    variable["name"]: variable["definition"]
    for variable in dashboards()["overview.json"]["templating"]["list"]
    if variable["type"] == "query"
}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with watched(tmp_path_factory.mktemp("eventful")) as found:
        yield found


def query(dashboard: str, panel: str) -> Asked:
    """The first of a panel."""
    return next(one for one in ASKED if (one.dashboard, one.panel) == (dashboard, panel))


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_every_query_finds_what_happened(seen: Watched, asked: Asked) -> None:
    """Prometheus takes it, it has series, numbers, and not only zeros: all of it did happen."""
    assert "" == fault(seen.prometheus, asked, seen.span)


@pytest.mark.parametrize(
    ("wrong", "right", "found"),
    [
        ("podium_refusals_total", "podium_refusal_total", "no series"),
        ("by (reason)", "by reason", "parse error"),
        ('model=~"$model"', 'modell=~"$model"', "no series"),
        ("[$__rate_interval])) > 0", "[$__rate_interval])) * 0", "zero, all the time"),
        ("[$__rate_interval])) > 0", "[$__rate_interval])) * 0 / 0", "not a number, all the time"),
    ],
    ids=["metric", "syntax", "label", "zero", "nan"],
)
def test_a_wrong_query_is_found(seen: Watched, wrong: str, right: str, found: str) -> None:
    """A misspelt metric, label or keyword, a constant zero and a constant NaN fail the test above."""
    asked = query("overview.json", "Refusals, by reason")
    assert wrong in asked.expr
    assert found in fault(seen.prometheus, replace(asked, expr=asked.expr.replace(wrong, right)), seen.span)


def test_variables_offer_what_is_there(seen: Watched) -> None:
    """All servers; all models of the folders, loaded or not, and `unknown`; of one server only its own."""
    instances = {server.ops_url.removeprefix("http://") for server in seen.servers.values()}
    assert instances == offered(seen.prometheus, VARIABLES["instance"], seen.span)
    assert MODELS | {"unknown"} == offered(seen.prometheus, VARIABLES["model"], seen.span)
    ill = seen.servers["ill"].ops_url.removeprefix("http://")
    assert {ILL.name} == offered(seen.prometheus, VARIABLES["model"], seen.span, instance=ill)


def test_a_choice_narrows_the_panels(seen: Watched) -> None:
    """One model chosen, one model shown; two chosen, as Grafana writes them, two."""
    asked = query("overview.json", "p99 of answers, and the budget")
    for chosen in ({SHOP.name}, {SHOP.name, NEWS.name}):
        text = "|".join(sorted(chosen))
        series = ask(seen.prometheus, asked, seen.span, model=f"({text})" if len(chosen) > 1 else text)
        assert chosen == {one["metric"]["model"] for one in series}


def test_the_first_tiles_say_what_the_servers_counted(seen: Watched) -> None:
    """Budget missed and coverage are the servers' own counts, read from them once more at the end."""
    scrapes = [server.metrics() for server in seen.servers.values()]

    def count(sample: str, **labels: str) -> float:
        return sum(scrape.total(sample, **labels) for scrape in scrapes)

    missed = count("podium_budget_violations_total") / count("podium_budget_requests_total")
    # From servers with other lifetimes in Prometheus' eyes, so not to the last digit.
    assert pytest.approx(missed, rel=0.15) == value(seen, "Budget missed")
    covered = count("podium_requests_total", outcome="scored") / count("podium_requests_total")
    assert pytest.approx(covered, rel=0.15) == value(seen, "Coverage")


def test_the_budget_is_a_line_of_its_own(seen: Watched) -> None:
    """Each model's p99 is beside the budget that its server keeps."""
    asked = [one for one in ASKED if one.panel == "p99 of answers, and the budget"][1]
    lines = {
        one["metric"]["model"]: {float(number) for _, number in one["values"]}
        for one in ask(seen.prometheus, asked, seen.span)
    }
    assert {0.06} == lines[SHOP.name]
    assert {0.15} == lines[NEWS.name]


def test_a_loss_is_told_by_cause(seen: Watched) -> None:
    """late, expired and failed: all three have happened, and have a curve that moves."""
    series = ask(seen.prometheus, query("overview.json", "Missed, by cause"), seen.span)
    moved = {one["metric"]["cause"] for one in series if any(float(number) for _, number in one["values"])}
    assert {"late", "expired", "failed"} == moved


def value(seen: Watched, panel: str) -> float:
    """Of a tile of the overview."""
    (series,) = ask(seen.prometheus, query("overview.json", panel), seen.span)
    return float(series["values"][-1][1])
