"""Imports go one way (DESIGN, section 3; ARCHITECTURE.md, Invariants)."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import pytest

from tests.contract.source_tree import PARTS, Import, imports_of, modules

BOTTOM = {"protos", "measures", "http2", "podium.v1"}
MAY_IMPORT: dict[str, set[str]] = {
    "protos": {"protos", "podium.v1"},
    "measures": {"measures"},
    "http2": {"http2"},
    "podium.v1": {"podium.v1"},
    "server": {"server", *BOTTOM},
    "export": {"export", *BOTTOM},
    "loadtest": {"loadtest", "podium.client", *BOTTOM},
    "podium.client": {"podium.client", *BOTTOM},
    "podium.cli": {"podium.cli", "podium.client", *BOTTOM},
    "podium.__main__": {"podium.cli"},
    "examples": {"examples", "export", *BOTTOM},
}
"""Which part may import which, at the top of a module. `benchmarks` stand outside and may import anything."""
MAY_IMPORT_LAZILY = {"podium.cli": {"server", "export", "loadtest"}}
"""Inside functions only, so that `podium --help` loads neither torch nor ONNX Runtime."""

SERVER_LAYERS = (
    {"__main__"},
    {"app"},
    {"door", "ops_http"},
    {"ranking", "loader", "overview"},
    {"dispatcher", "catalog", "policies", "cost_store", "first_sight"},
    {"golden"},
    {"wire", "reply", "run", "warm_up"},
    {"tensor_field", "length_field", "heads", "waiter", "refusals"},
    {"engine", "metrics"},
    {"core", "status", "logs"},
    {"tuning"},
    {"errors", "config", "domain", "finite", "lift", "machine", "pace", "pulse", "turns"},
)
"""A layer imports only those written below it; modules of one layer do not know one another."""

CORE_MAY_IMPORT = {
    "__future__",
    "bisect",
    "collections",
    "dataclasses",
    "enum",
    "heapq",
    "itertools",
    "math",
    "typing",
}
"""What a value machine needs of the world: no clock, lock, thread, loop, numpy, protobuf or gRPC."""

HOMES: dict[str, set[str]] = {
    "onnxruntime": {"server.engine.ort"},
    "grpc": set(),
    "prometheus_client": {"server.metrics", "server.ops_http", "server.app"},
    "structlog": {"server.logs"},
    "uvloop": {"server.app"},
    "tomllib": {"server.config"},
    "torch": set(),
    "onnx": set(),
}
"""The only modules of the server that may know a library; an empty set means that none may."""


def part_of(module: str) -> str:
    """The row of `MAY_IMPORT` that a module of ours belongs to."""
    names = module.split(".")
    return ".".join(names[:2]) if names[0] == "podium" and len(names) > 1 else names[0]


def ours(imported: Import) -> bool:
    return imported.top in PARTS or imported.top == "tests"


def test_every_part_has_a_rule() -> None:
    """A new folder cannot be added without deciding what it may import."""
    assert set(MAY_IMPORT) == {part_of(module) for module in modules()} - {"podium", "benchmarks"}


@pytest.mark.parametrize("part", sorted({part.split(".")[0] for part in MAY_IMPORT}))
def test_parts_import_one_way(part: str) -> None:
    """`protos`, `measures`, `podium.v1` at the bottom; server, export, loadtest never import one another."""
    wrong = [
        str(found)
        for found in imports_of(part)
        if ours(found)
        and part_of(found.imported) not in MAY_IMPORT.get(part_of(found.importer), set())
        and not (found.lazy and part_of(found.imported) in MAY_IMPORT_LAZILY.get(part_of(found.importer), ()))
    ]
    assert [] == wrong


def test_the_rule_notices_a_wrong_turn() -> None:
    """The table forbids what it should: the server's way to export, in any form."""
    assert "export" not in MAY_IMPORT["server"]
    assert part_of("podium.v1.ranking_pb2") == "podium.v1"
    assert any(found.lazy for found in imports_of("podium") if found.top == "server")


def layer_of(module: str) -> int:
    name = module.split(".")[1]
    return next(depth for depth, layer in enumerate(SERVER_LAYERS) if name in layer)


def test_every_server_module_has_a_layer() -> None:
    """A new module of the server cannot be added without choosing its place; a deleted one leaves none."""
    found = {module.split(".")[1] for module in modules() if module.startswith("server.")}
    assert found == set().union(*SERVER_LAYERS)


def test_the_server_imports_downwards() -> None:
    """`app -> door, ops_http -> ranking, loader -> dispatcher, catalog -> wire -> engine -> core`."""
    wrong = [
        str(found)
        for found in imports_of("server")
        if found.imported.startswith("server.")
        and found.importer.split(".")[1] != found.imported.split(".")[1]
        and layer_of(found.importer) >= layer_of(found.imported)
    ]
    assert [] == wrong


def test_the_core_is_pure() -> None:
    """`server/core` knows itself, the errors and arithmetic: now is an argument, a decision is a value."""
    wrong = [
        str(found)
        for found in imports_of("server")
        if found.importer.startswith("server.core")
        and not found.imported.startswith(("server.core", "server.errors"))
        and found.top not in CORE_MAY_IMPORT
    ]
    assert [] == wrong


@pytest.mark.parametrize("library", HOMES)
def test_a_library_has_one_home_in_the_server(library: str) -> None:
    """What is replaceable is known in one place, and the table names nobody for nothing."""
    found = {entry.importer for entry in imports_of("server") if entry.top == library}
    assert HOMES[library] == found


@pytest.mark.parametrize("part", ["protos", "measures", "server", "loadtest", "podium"])
def test_torch_belongs_to_export(part: str) -> None:
    """Nothing that serves, measures or asks needs PyTorch, not even lazily."""
    assert [] == [str(found) for found in imports_of(part) if found.top in {"torch", "onnxscript"}]


@pytest.mark.parametrize("part", PARTS)
def test_no_module_imports_itself_in_a_circle(part: str) -> None:
    """Modules of a part can be put in an order in which each needs only those before it."""
    graph: dict[str, set[str]] = {}
    for found in imports_of(part):
        executed = not found.lazy and not found.typing_only
        if executed and found.top == part and found.imported in modules():
            graph.setdefault(found.importer, set()).add(found.imported)
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
