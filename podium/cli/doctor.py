"""`podium doctor`: what this machine gives a server, and what stands in its way."""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

FLAGS: Final = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8")
PACKAGES: Final = ("podium", "onnxruntime", "grpcio", "protobuf", "numpy", "uvloop", "torch", "onnx", "scipy")
FILES_MIN: Final = 1024
"""Below it a server of a few hundred connections runs out of sockets."""
CLOCK_STEP_NS_MAX: Final = 10_000
"""Coarser than 10 us and the server cannot tell its own stages apart."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One line: what, its value, and a warning ("" = fine)."""

    name: str
    value: str
    warning: str = ""


def add_to(app: typer.Typer) -> None:
    """Register the verb."""

    @app.command(epilog="example: podium doctor --json")
    def doctor(as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False) -> None:
        """Show CPU features, execution providers, quota, threads, clock, limits and versions."""
        found = list(examine())
        if as_json:
            sys.stdout.write(msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")
            return
        table = Table(box=None, pad_edge=False, show_header=False)
        for finding in found:
            warning = f"[yellow]{escape(finding.warning)}[/]"
            table.add_row(finding.name, escape(finding.value), warning)
        Console().print(table)


def examine() -> Iterator[Finding]:
    """Look at the machine."""
    yield from _cpu()
    yield from _cores()
    yield _providers()
    yield _clock()
    yield _files()
    yield Finding(name="kernel", value=platform.release())
    yield Finding(name="python", value=platform.python_version())
    for package in PACKAGES:
        yield Finding(name=package, value=_version(package))


def _cpu() -> Iterator[Finding]:
    fields = dict[str, str]()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    yield Finding(name="cpu", value=fields.get("model name", platform.machine()))
    has = set(fields.get("flags", "").split())
    int8 = has & {"avx512_vnni", "avx_vnni", "amx_int8"}
    yield Finding(
        name="cpu features",
        value=", ".join(flag for flag in FLAGS if flag in has) or "none of " + ", ".join(FLAGS),
        warning="" if int8 else "no int8 dot product: int8 variants may be no faster than fp32",
    )


def _cores() -> Iterator[Finding]:
    from server.machine import intra_op_threads, quota_cores, usable_cores

    quota, affinity = quota_cores(), len(os.sched_getaffinity(0))
    yield Finding(name="cores by affinity", value=f"{affinity} of {os.cpu_count()}")
    yield Finding(
        name="cgroup quota",
        value="none" if quota is None else f"{quota:g} cores",
        warning="less than a core: runs will be throttled" if quota is not None and quota < 1 else "",
    )
    yield Finding(
        name="threads of a run",
        value=f"{intra_op_threads(0)} of {usable_cores()} usable cores",
        warning="one core: the server's front end and its runs share it" if usable_cores() == 1 else "",
    )


def _providers() -> Finding:
    name = "execution providers"
    try:
        import onnxruntime
    except ImportError as error:
        return Finding(name=name, value="none", warning=f"onnxruntime cannot be imported: {error}")
    return Finding(name=name, value=", ".join(onnxruntime.get_available_providers()))


def _clock() -> Finding:
    before = time.monotonic_ns()
    steps: list[int] = []
    while len(steps) < 1000:
        now = time.monotonic_ns()
        if now > before:
            steps.append(now - before)
            before = now
    step_ns = min(steps)
    source = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    name = f" ({source.read_text().strip()})" if source.exists() else ""
    return Finding(
        name="clock",
        value=f"steps of {step_ns} ns{name}",
        warning="too coarse to time a request's stages" if step_ns > CLOCK_STEP_NS_MAX else "",
    )


def _files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Finding(
        name="open files",
        value=f"{soft} (at most {hard})",
        warning=f"fewer than {FILES_MIN}" if 0 <= soft < FILES_MIN else "",
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
