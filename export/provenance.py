"""Where a bundle comes from: what `manifest.source` says. No paths, no host names, no user names."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
import torch

from export.spec import ExportSpec
from export.tracing import OPSET

_CPU_FLAGS = ("avx2", "fma", "avx512f", "avx512bw", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")
"""Flags that decide which kernels ONNX Runtime's matrix products take."""


def source_of(spec: ExportSpec, source: str) -> dict[str, Any]:
    """The facts that are known before anything ran.

    Args:
        source: the spec's address, `module:function`.
    """
    return {
        "spec": source,
        "seed": spec.seed,
        "data": dict(spec.data),
        "torch": str(torch.__version__),
        "onnx": onnx.__version__,
        "onnxruntime": ort.__version__,
        "python": platform.python_version(),
        "opset": OPSET,
        "machine": machine(),
    }


def machine(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, Any]:
    """The processor's name and the flags that choose kernels; what the system does not tell is left out."""
    found: dict[str, Any] = {"cpu": platform.processor() or platform.machine(), "flags": []}
    if not cpuinfo.exists():
        return found
    for line in cpuinfo.read_text().splitlines():
        key, _, value = (part.strip() for part in line.partition(":"))
        if key == "model name":
            found["cpu"] = value
        elif key in ("flags", "Features"):
            present = set(value.split())
            found["flags"] = [flag for flag in _CPU_FLAGS if flag in present]
    return found
