"""Names: of files, of reasons, of packages on the index, of metrics."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from prometheus_client.core import Metric

from server.core.decisions import Snapshot
from server.metrics import Metrics
from tests.contract.source_tree import PARTS, REPOSITORY, module_name, python_files

VAGUE = {"utils", "util", "common", "helpers", "helper", "constants", "manager", "managers", "misc"}
RECORDED = re.compile(r"\b[a-z_]+:podium_\w+:\w+")
"""Names of recording rules, level:metric:operation; `test_alert_rules` looks at what they read."""
METRIC = re.compile(r"\bpodium_[a-z][a-z_]*[a-z]\b")
UNITS = ("_seconds", "_bytes", "_ratio")
COUNTED = {
    "podium_requests",
    "podium_refusals",
    "podium_budget_requests",
    "podium_budget_violations",
    "podium_step",
    "podium_candidates",
    "podium_batch_rows",
    "podium_batch_requests",
    "podium_queue_depth",
    "podium_in_flight",
    "podium_model_info",
    "podium_executors_stuck",
    "podium_probes",
    "podium_tokens",
    "podium_tokens_computed",
}
"""Metrics that count things; every other one is a quantity and ends with its unit."""


def names() -> Iterator[tuple[str, Path]]:
    """Every name that an import statement or a reader meets: files and folders of all parts and of tests."""
    for part in (*PARTS, "tests"):
        for path in python_files(part):
            for name in module_name(path).split("."):
                yield name, path


def families() -> list[Metric]:
    """All metric families of a server that has every gauge."""
    metrics = Metrics(["movies"], [0.025])
    metrics.pull(lambda: Snapshot(0, 0, 0, 0), lambda: 0, list)
    return list(metrics.collect())


def samples_of(name: str) -> set[str]:
    """The names under which a family's samples are scraped and queried."""
    return {name, *(name + suffix for suffix in ("_total", "_bucket", "_sum", "_count"))}


def test_no_vague_names() -> None:
    """Nothing is called utils, common, helpers, constants or manager."""
    assert [] == [str(path) for name, path in names() if name in VAGUE]


def test_no_file_shadows_the_standard_library() -> None:
    """A module called like one of Python's would be imported in its place by whoever runs a file here."""
    dunder = {"__main__", "__init__"}
    assert [] == [str(path) for name, path in names() if name in sys.stdlib_module_names - dunder]


@pytest.mark.parametrize("package", [part for part in PARTS if part != "benchmarks"])
def test_package_names_are_ours(package: str) -> None:
    """No installed distribution brings a package of the same name, which would win or lose by path order."""
    assert {"podium"} == set(packages_distributions()[package])


def test_every_module_says_what_it_is() -> None:
    """Each file that holds code begins with a docstring; empty package markers may stay empty."""
    silent = [
        str(path.relative_to(REPOSITORY))
        for part in PARTS
        for path in python_files(part)
        if path.read_text().strip()
        and "v1" not in path.parts
        and not path.read_text().lstrip().startswith(('"""', 'r"""', "#!"))
    ]
    assert [] == silent


def test_metrics_have_names_units_and_words() -> None:
    """Prefix `podium_`, base units as suffix, one sentence each, no name twice."""
    found = families()
    assert len(found) == len({family.name for family in found})
    for family in found:
        assert METRIC.fullmatch(family.name), family.name
        assert re.fullmatch(r"[A-Z].*\.", family.documentation), family.name
        assert (family.name in COUNTED) != family.name.endswith(UNITS), family.name


def test_documents_name_real_metrics() -> None:
    """A `podium_...` metric in a document, a rule or a dashboard is one that the server publishes."""
    published = set().union(*(samples_of(family.name) for family in families()))
    pages = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]
    if (REPOSITORY / "deploy").is_dir():
        pages += [
            path for path in (REPOSITORY / "deploy").rglob("*") if path.suffix in {".yml", ".yaml", ".json"}
        ]
    unknown = {
        f"{page.name}: {name}"
        for page in pages
        for name in METRIC.findall(RECORDED.sub("", page.read_text()))
        if name not in published
    }
    assert set() == unknown
