"""Unary gRPC load from h2load (Debian: nghttp2-client): a client that costs far less than the server."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.server_process import CLIENT_CORE

RANK = "/podium.v1.Ranker/Rank"


class LoadError(RuntimeError):
    """The load did not run as ordered: h2load is missing, or some request was not answered."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one block of load gave.

    Attributes:
        p50_us: median time from request to response.
        answer_bytes: mean bytes of a response's DATA frames, gRPC's five of prefix included; a refused call
            has none. 0 = not counted.
    """

    requests_per_s: float
    p50_us: float
    answer_bytes: float = 0.0


def write_body(path: Path, message: bytes) -> Path:
    """Write a serialised request with gRPC's five-byte frame."""
    path.write_bytes(b"\0" + struct.pack(">I", len(message)) + message)
    return path


def run(port: int, body: Path, *, requests: int, connections: int, streams: int, path: str = RANK) -> Load:
    """Closed loop: connections x streams in flight, `requests` requests in all.

    Raises:
        LoadError: h2load is missing, or a request was not answered with HTTP 200.
    """
    if shutil.which("h2load") is None:
        raise LoadError("h2load is missing: apt-get install nghttp2-client")
    with tempfile.NamedTemporaryFile() as log:
        command = ["taskset", "-c", CLIENT_CORE, "h2load", "-c", str(connections), "-m", str(streams)]
        command += ["-n", str(requests), "-d", str(body), "--log-file", log.name]
        command += ["-H", "content-type: application/grpc", "-H", "te: trailers"]
        command.append(f"http://127.0.0.1:{port}{path}")
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        requests_per_s, answer_bytes = read(output, requests)
        times_us = np.loadtxt(log.name, usecols=2)
    return Load(requests_per_s, float(np.median(times_us)), answer_bytes)


def read(output: str, requests: int) -> tuple[float, float]:
    """Requests/s and mean bytes per answer, as h2load printed them.

    Raises:
        LoadError: a request was not answered with HTTP 200, or a number is missing.
    """
    done = re.search(r"(\d+) succeeded, (\d+) failed", output)
    rate = re.search(r"finished in .*?, ([\d.]+) req/s", output)
    data = re.search(r"\((\d+)\) data", output)
    if not done or not rate or not data or int(done[1]) != requests:
        raise LoadError(f"h2load: {output[-400:]}")
    return float(rate[1]), int(data[1]) / requests
