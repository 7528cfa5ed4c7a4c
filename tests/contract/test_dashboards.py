"""The dashboards as files: what Grafana needs of them, and that they name only what a server publishes.

That their queries find something is tests/system/test_dashboards.py's to show.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest

from deploy.grafana import make
from tests.contract.metrics_table import documented
from tests.contract.source_tree import REPOSITORY
from tests.system.dashboards import dashboards

NAMES = sorted(dashboards())
SELECTOR = re.compile(r"\b(podium_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(?:=~|!~|!=|=)"')
GROUPED = re.compile(r"\bby \(([\w, ]+)\) \(")
LEGEND = re.compile(r"\{\{(\w+)\}\}")
OURS = {"instance", "job"}
"""Labels that Prometheus gives to every series."""
WINDOWS = {"$__rate_interval", "$__range"}


@pytest.fixture(params=NAMES)
def dashboard(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = dashboards()[request.param]
    return found


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """All but the rows' heads."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions(dashboard: dict[str, Any]) -> list[str]:
    """Every query's."""
    return [target["expr"] for panel in panels(dashboard) for target in panel["targets"]]


def values(of: Any, key: str) -> Iterator[Any]:
    """Whatever stands under a key, at any depth."""
    if isinstance(of, dict):
        for name, value in of.items():
            if name == key:
                yield value
            yield from values(value, key)
    elif isinstance(of, list):
        for value in of:
            yield from values(value, key)


def inside(expr: str, opened: int) -> str:
    """What stands between a bracket and its other half."""
    depth = 0
    for at in range(opened, len(expr)):
        depth += {"(": 1, ")": -1}.get(expr[at], 0)
        if depth == 0:
            return expr[opened + 1 : at]
    raise AssertionError(f"a bracket is not closed: {expr}")


def labels_of(sample: str) -> set[str]:
    """Labels of a sample's series, by the table of docs/metrics.md."""
    for name, metric in documented().items():
        for suffix in metric.suffixes:
            if sample == name + suffix:
                return {*metric.labels, *OURS, *({"le"} if suffix == "_bucket" else ())}
    raise AssertionError(f"docs/metrics.md has no {sample}")


@pytest.mark.parametrize("name", NAMES)
def test_it_is_what_the_generator_writes(name: str) -> None:
    """`make dashboards` changes nothing, and every file comes from it."""
    assert set(NAMES) == set(make.DASHBOARDS)
    assert make.text(make.DASHBOARDS[name]) == (make.FOLDER / name).read_text("utf-8")


def test_it_can_be_provisioned(dashboard: dict[str, Any]) -> None:
    """An address that never changes, no number of some database's, no question at the import."""
    assert re.fullmatch(r"podium-[a-z]+", dashboard["uid"])
    assert dashboard["id"] is None
    assert dashboard["editable"] is False
    assert isinstance(dashboard["schemaVersion"], int)
    assert "__inputs" not in dashboard
    assert "__requires" not in dashboard


def test_addresses_are_unique_and_links_lead_somewhere() -> None:
    """Each page links to pages that are here, with time and variables."""
    found = list(dashboards().values())
    uids = [dashboard["uid"] for dashboard in found]
    assert len(uids) == len(set(uids))
    assert len(uids) == len({dashboard["title"] for dashboard in found})
    for dashboard in found:
        targets = [link["url"].removeprefix("/d/") for link in dashboard["links"]]
        assert set(uids) - {dashboard["uid"]} == set(targets)
        assert all(link["includeVars"] and link["keepTime"] for link in dashboard["links"])


def test_the_data_source_is_the_variable_s(dashboard: dict[str, Any]) -> None:
    """Every panel, query and variable takes its data from where the reader says."""
    found = list(values(dashboard, "datasource"))
    assert {("prometheus", "${datasource}")} == {(one["type"], one["uid"]) for one in found}
    for panel in panels(dashboard):
        assert "datasource" in panel
        assert all("datasource" in target for target in panel["targets"])


def test_variables_are_the_usual_ones(dashboard: dict[str, Any]) -> None:
    """Data source, servers, models; all of them, unless the reader chooses; every one is used."""
    variables = {one["name"]: one for one in dashboard["templating"]["list"]}
    assert ["datasource", "instance", "model"] == list(variables)
    used = set(re.findall(r"\$\{?(\w+)", "\n".join(expressions(dashboard))))
    assert {"model", "instance"} | {name.strip("$") for name in WINDOWS} == used
    for name in ("instance", "model"):
        assert variables[name]["includeAll"]
        assert variables[name]["multi"]
        assert variables[name]["query"]["query"] == variables[name]["definition"]
        for sample, matchers in SELECTOR.findall(variables[name]["definition"]):
            assert {name, *MATCHER.findall(matchers)} <= labels_of(sample)


def test_panels_have_numbers_of_their_own(dashboard: dict[str, Any]) -> None:
    """No number twice; letters of queries likewise."""
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(numbers) == len(set(numbers))
    for panel in panels(dashboard):
        letters = [target["refId"] for target in panel["targets"]]
        assert len(letters) == len(set(letters))


def test_panels_lie_side_by_side(dashboard: dict[str, Any]) -> None:
    """None lies on another, none sticks out of 24 columns, no row has a hole."""
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    for place in places:
        assert place["w"] > 0
        assert place["h"] > 0
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= 24
    for one, other in combinations(places, 2):
        assert (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        ), (one, other)
    bottom = max(place["y"] + place["h"] for place in places)
    assert 24 * bottom == sum(place["w"] * place["h"] for place in places)


def test_the_first_question_fits_a_screen(dashboard: dict[str, Any]) -> None:
    """The first row of panels and its curves are seen without scrolling: 22 rows of 38 pixels in 1080."""
    second = [panel["gridPos"]["y"] for panel in dashboard["panels"] if panel["type"] == "row"][1]
    assert second <= 22


def test_every_panel_says_what_it_shows(dashboard: dict[str, Any]) -> None:
    """Title, description, unit; what is seen where there is no value; names in legends."""
    titles = [panel["title"] for panel in panels(dashboard)]
    assert len(titles) == len(set(titles))
    for panel in panels(dashboard):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"], panel["title"]
        assert defaults["noValue"], panel["title"]
        if panel["type"] == "timeseries":
            assert all(target["legendFormat"] != "__auto" for target in panel["targets"]), panel["title"]


def test_queries_name_what_servers_publish(dashboard: dict[str, Any]) -> None:
    """Every metric stands in docs/metrics.md, with the suffix of its type and the labels that are used."""
    for expr in expressions(dashboard):
        found = SELECTOR.findall(expr)
        assert found, expr
        for sample, matchers in found:
            assert set(MATCHER.findall(matchers)) <= labels_of(sample), expr
        for group in GROUPED.finditer(expr):
            within = SELECTOR.findall(inside(expr, group.end() - 1))
            for sample, _ in within:
                assert set(group[1].split(", ")) <= labels_of(sample), expr


def test_every_metric_can_be_narrowed(dashboard: dict[str, Any]) -> None:
    """Each selector has the variables' matchers: of the model where the metric has one."""
    for expr in expressions(dashboard):
        for sample, matchers in SELECTOR.findall(expr):
            assert 'instance=~"$instance"' in matchers, expr
            assert ("model" in labels_of(sample)) == ('model=~"$model"' in matchers), expr


def test_windows_are_grafana_s(dashboard: dict[str, Any]) -> None:
    """Curves look back as far as Grafana says; single values over all that is shown."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            windows = set(re.findall(r"\[([^\]]*)\]", target["expr"]))
            assert windows <= {"$__range" if target["instant"] else "$__rate_interval"}, target["expr"]


def test_legends_name_labels_that_are_left(dashboard: dict[str, Any]) -> None:
    """A `{{label}}` is one that the query's aggregation keeps."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            kept = {name for group in GROUPED.findall(target["expr"]) for name in group.split(", ")}
            assert set(LEGEND.findall(target["legendFormat"])) <= kept, target


def test_the_document_has_every_panel() -> None:
    """docs/dashboards.md tells each panel's question, in the order of the pages."""
    text = (REPOSITORY / "docs" / "dashboards.md").read_text()
    told = re.findall(r"^\| (?!panel|---)([^|]+) \| [^|]+ \|$", text, re.MULTILINE)
    assert [panel["title"] for dashboard in dashboards().values() for panel in panels(dashboard)] == told


def test_the_pages_together_show_every_metric() -> None:
    """Nothing is published that no panel looks at."""
    everything = "\n".join(expr for dashboard in dashboards().values() for expr in expressions(dashboard))
    shown = {sample for sample, _ in SELECTOR.findall(everything)}
    unseen = {
        name
        for name, metric in documented().items()
        if not shown & {name + suffix for suffix in metric.suffixes}
    }
    assert set() == unseen
