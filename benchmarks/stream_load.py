"""RankStream load from the load test's own door: a closed loop over a few streams, in a process of its own.

    python -m benchmarks.stream_load TARGET STREAMS      then lines "BODY_FILE REQUESTS IN_FLIGHT" on stdin

h2load knows unary calls only. This client costs 25 to 30 µs of its own core per small message, so that the
server, at 80 and more, is what limits.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import uvloop

from benchmarks.h2load import Load, LoadError
from benchmarks.server_process import CLIENT_CORE
from loadtest.client import doors
from loadtest.client.door import Door, Ended
from podium.v1 import ranking_pb2 as pb

TIMEOUT_S = 60.0


class StreamLoad:
    """The client's process, pinned to the client's core."""

    def __init__(self, port: int, streams: int) -> None:
        command = ["taskset", "-c", CLIENT_CORE, sys.executable, "-m", "benchmarks.stream_load"]
        self._process = subprocess.Popen(
            [*command, f"127.0.0.1:{port}", str(streams)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, body: Path, *, requests: int, in_flight: int) -> Load:
        """Closed loop: so many in flight, `requests` in all.

        Raises:
            LoadError: some request was not answered with scores.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(body, requests, in_flight, file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise LoadError(f"the stream's client ended with exit code {self._process.wait()}")
        said = json.loads(line)
        if "failed" in said:
            raise LoadError(f"RankStream: {said['failed']}")
        return Load(said["requests_per_s"], said["p50_us"])

    def stop(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


async def serve(target: str, streams: int) -> None:
    """Obey the lines on stdin."""
    door = doors.make("stream", target, streams)
    await door.open()
    while line := await asyncio.to_thread(sys.stdin.readline):
        body, requests, in_flight = line.split()
        message = Path(body).read_bytes()[5:]
        try:
            print(json.dumps(await closed_loop(door, message, int(requests), int(in_flight))), flush=True)
        except LoadError as error:
            print(json.dumps({"failed": str(error)}), flush=True)
    await door.close()


async def closed_loop(door: Door, message: bytes, requests: int, in_flight: int) -> dict[str, float]:
    """Send whenever an answer has come.

    Raises:
        LoadError: an answer holds no scores, or there is none.
    """
    wanted = pb.RankRequest.FromString(message).candidates.count
    began_ns = np.zeros(requests, np.int64)
    took_ns = np.zeros(requests, np.int64)
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    sent = done = 0

    def ask() -> None:
        nonlocal sent
        number, sent = sent, sent + 1
        began_ns[number] = time.monotonic_ns()
        door.ask(number, message, TIMEOUT_S, settle)

    def settle(number: int, at_ns: int, said: bytes | Ended) -> None:
        nonlocal done
        took_ns[number] = at_ns - began_ns[number]
        done += 1
        if isinstance(said, Ended) and not over.done():
            over.set_exception(LoadError(f"{said.ending} {said.reason}"))
        elif done in (1, requests) and not over.done():
            assert isinstance(said, bytes)
            if len(pb.RankResponse.FromString(said).scores) != 4 * wanted:
                over.set_exception(LoadError("an answer has not as many scores as candidates"))
        if sent < requests:
            ask()
        elif done == requests and not over.done():
            over.set_result(None)

    began_s = time.perf_counter()
    for _ in range(min(in_flight, requests)):
        ask()
    await over
    elapsed_s = time.perf_counter() - began_s
    return {"requests_per_s": requests / elapsed_s, "p50_us": float(np.median(took_ns)) / 1e3}


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2])))
