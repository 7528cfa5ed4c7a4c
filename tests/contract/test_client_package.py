"""The client travels alone: what an environment needs to import `podium.client`."""

from __future__ import annotations

import sys

from tests.contract.source_tree import imports_of, modules

THIRD_PARTY = {"grpc", "google", "numpy"}
"""grpcio, protobuf (and googleapis-common-protos, which is protobuf only), numpy."""


def closure(start: str) -> set[str]:
    """Modules of ours that importing `start` executes, and their packages."""
    edges = [
        found
        for part in ("podium", "protos", "measures")
        for found in imports_of(part)
        if not found.lazy and not found.typing_only
    ]
    seen: set[str] = set()
    todo = [module for module in modules() if module == start or module.startswith(f"{start}.")]
    while todo:
        module = todo.pop()
        if module not in seen:
            seen.add(module)
            todo += [
                found.imported for found in edges if found.importer == module and found.imported in modules()
            ]
    return seen


def outside(seen: set[str]) -> set[str]:
    """Packages that are not ours and not Python's that these modules import."""
    found = {
        entry.top for part in ("podium", "protos") for entry in imports_of(part) if entry.importer in seen
    }
    return found - {"podium", "protos"} - sys.stdlib_module_names


def test_the_client_needs_no_server() -> None:
    """The client pulls in the wire, nothing that serves, exports, measures or prints."""
    parts = {".".join(module.split(".")[:2]) for module in closure("podium.client")}
    assert {"podium.client", "podium.v1"} == parts


def test_generated_code_needs_grpc_and_protobuf_only() -> None:
    """`podium.v1` imports nothing of ours beside itself, and its generated part no numpy either."""
    generated = {"podium.v1", "podium.v1.ranking_pb2", "podium.v1.ranking_pb2_grpc"}
    assert {*generated, "podium.v1.refusal", "podium.v1.tensor"} == closure("podium.v1")
    assert {"grpc", "google"} == outside(generated)
    assert outside(closure("podium.v1")) == THIRD_PARTY


def test_the_client_is_two_folders() -> None:
    """`podium/client` imports nothing of ours but `podium.v1`: the wheel holds these two only."""
    seen = closure("podium.client")
    assert {module for module in seen if not module.startswith(("podium.client", "podium.v1"))} == set()
    assert outside(seen) <= THIRD_PARTY
