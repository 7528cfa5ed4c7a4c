"""Each peer's own texts are read, and all run the same ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.install import HERE, PEERS
from benchmarks.peers.podium import refusals
from benchmarks.peers.triton import server_version

METRICS = """\
# HELP podium_refusals_total Requests refused.
podium_refusals_total{kind="OVERLOADED",model="bench",reason="QUEUE_FULL"} 3.0
podium_refusals_total{kind="INVALID",model="bench",reason="NOT_FINITE"} 1.0
podium_refusals_created{kind="INVALID",model="bench",reason="NOT_FINITE"} 1.79e+09
"""


def pins(path: Path) -> dict[str, str]:
    lines = [line.partition("==") for line in path.read_text().splitlines()]
    return {name: version for name, _, version in lines}


def test_all_refusals_are_counted() -> None:
    """Of every kind and reason, and nothing else."""
    assert 4 == refusals(METRICS)
    assert 0 == refusals("")


def test_tritons_version_is_its_own() -> None:
    """The wheel's version says nothing of the server in it."""
    assert "2.51.0" == server_version(
        "I1123 started\n| server_id      | triton |\n| server_version | 2.51.0 |\n"
    )
    assert "of unknown version" == server_version("")


def test_every_peer_runs_our_onnx_runtime() -> None:
    """With another one it would be runtimes that are compared, not servers."""
    ours = pins(HERE.parents[1] / "constraints.txt")["onnxruntime"]
    assert {ours} == {pins(HERE / f"{peer}.txt")["onnxruntime"] for peer in PEERS}
