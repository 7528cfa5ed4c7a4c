"""Cores this process may use: affinity and quota, in both forms of the kernel's control groups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from server.machine import intra_op_threads, quota_cores, usable_cores


def v2(folder: Path, text: str) -> Path:
    """A version 2 control group."""
    (folder / "cpu.max").write_text(text)
    return folder


def v1(folder: Path, quota: str, period: str) -> Path:
    """A version 1 control group."""
    (folder / "cpu").mkdir()
    (folder / "cpu/cpu.cfs_quota_us").write_text(quota)
    (folder / "cpu/cpu.cfs_period_us").write_text(period)
    return folder


@pytest.mark.parametrize(
    ("text", "expected"),
    [("max 100000\n", None), ("200000 100000\n", 2.0), ("50000 100000\n", 0.5), ("", None), ("odd\n", None)],
)
def test_quota_of_version_2(tmp_path: Path, text: str, expected: float | None) -> None:
    """cpu.max is quota and period in µs, or the word max; what cannot be read is no quota."""
    assert expected == quota_cores(v2(tmp_path, text))


@pytest.mark.parametrize(
    ("quota", "period", "expected"), [("-1\n", "100000\n", None), ("150000\n", "100000\n", 1.5)]
)
def test_quota_of_version_1(tmp_path: Path, quota: str, period: str, expected: float | None) -> None:
    """-1 is no quota."""
    assert expected == quota_cores(v1(tmp_path, quota, period))


def test_no_control_group_is_no_quota(tmp_path: Path) -> None:
    """As outside a container: affinity alone decides."""
    assert quota_cores(tmp_path) is None
    assert len(os.sched_getaffinity(0)) == usable_cores(tmp_path)


@pytest.mark.parametrize("text", ["10000 100000\n", "150000 100000\n"])
def test_usable_cores_are_whole_and_at_least_one(tmp_path: Path, text: str) -> None:
    """A tenth of a core is one; one and a half are one: a second thread would only be throttled."""
    assert 1 == usable_cores(v2(tmp_path, text))


def test_a_quota_never_adds_cores(tmp_path: Path) -> None:
    """More quota than affinity is affinity."""
    assert len(os.sched_getaffinity(0)) == usable_cores(v2(tmp_path, "100000000 1000\n"))


def test_configured_threads_win() -> None:
    """0 chooses, at least one; any other number is taken as given."""
    assert 7 == intra_op_threads(7)
    assert max(1, usable_cores() - 1) == intra_op_threads(0)
