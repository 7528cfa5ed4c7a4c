"""The client process: sends each request at its instant, never waits for an answer before the next.

Rule: nothing here decodes a request, and a reply only after its instant is on record.

Why asyncio: beside it a blocking channel with `future()` calls took 1.28 times the CPU per request (median of
7 interleaved blocks, 1.03 to 1.55; 55 KB requests, 150/s, 2 vCPU, grpcio 1.85), and its callbacks run on
threads that compete with the sending one for the interpreter.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import grpc
import numpy as np
import uvloop
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from loadtest import workload
from loadtest.plan import Plan
from loadtest.records import ANSWERED, ENDINGS, FAILED, KINDS, TIMEOUT, TOP, Records, blank
from loadtest.timer import Alarm
from podium.v1 import ranking_pb2 as pb
from protos import refusal

RANK = f"/{pb.DESCRIPTOR.services_by_name['Ranker'].full_name}/Rank"
CONNECT_S_MAX = 5.0
IN_FLIGHT_MAX = 8192
"""Bounds memory when a server hangs; what would exceed it is recorded as unsent and voids the run."""


@dataclass(frozen=True, slots=True)
class Task:
    """One process's share of a run: int64 [requests] each."""

    plan: Plan
    instants_ns: NDArray[np.int64]
    picked: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Done:
    """What a process hands back.

    Attributes:
        cpu: its CPU time / wall time from the first send to the last.
    """

    records: Records
    cpu: float


def main(pipe: Connection, task: Task) -> None:
    """Say "" (ready) or why not, receive the start instant (monotonic ns), run, answer with Done."""
    uvloop.run(_serve(pipe, task))


async def _serve(pipe: Connection, task: Task) -> None:
    messages = workload.load(task.plan).messages
    # A subchannel pool of its own each: or all channels would share one TCP connection.
    options = (("grpc.use_local_subchannel_pool", 1),)
    channels = [grpc.aio.insecure_channel(task.plan.target, options) for _ in range(task.plan.connections)]
    try:
        await asyncio.wait_for(
            asyncio.gather(*(channel.channel_ready() for channel in channels)), CONNECT_S_MAX
        )
    except TimeoutError:
        pipe.send(f"no server answers at {task.plan.target}")
        return
    gc.freeze()
    gc.disable()
    pipe.send("")
    start_ns: int = await asyncio.to_thread(pipe.recv)
    sender = Sender(task, messages, [channel.unary_unary(RANK) for channel in channels], start_ns)
    cpu = await sender.run()
    pipe.send(Done(Records(sender.rows, tuple(sender.reasons)), cpu))
    await asyncio.gather(*(channel.close() for channel in channels))


class Sender:
    """Sends one share; `rows` is filled as replies come."""

    def __init__(self, task: Task, messages: Sequence[bytes], calls: Sequence[Any], start_ns: int) -> None:
        self.rows = blank(task.instants_ns, task.picked)
        self.reasons: dict[str, int] = {"": 0}
        self._calls = calls
        self._start_ns = start_ns
        self._deadline_s = task.plan.deadline_s
        self._due_ns: list[int] = (task.instants_ns + start_ns).tolist()
        self._payloads = [messages[at] for at in task.picked]
        self._next = 0
        self._replies: set[asyncio.Task[None]] = set()

    async def run(self) -> float:
        """Send everything, wait for every reply; return CPU time / wall time while sending."""
        if not self._due_ns:
            return 0.0
        loop, alarm = asyncio.get_running_loop(), Alarm()
        all_sent = loop.create_future()

        def due() -> None:
            alarm.clear()
            self._send_due()
            if self._next < len(self._due_ns):
                alarm.set(self._due_ns[self._next])
            elif not all_sent.done():
                all_sent.set_result(None)

        loop.add_reader(alarm.fd, due)
        alarm.set(self._due_ns[0])
        began_s = time.monotonic()
        cpu_s = time.process_time()
        await all_sent
        cpu_s = time.process_time() - cpu_s
        wall_s = time.monotonic() - max(began_s, self._start_ns / 1e9)
        loop.remove_reader(alarm.fd)
        alarm.close()
        await asyncio.gather(*self._replies)
        return cpu_s / wall_s if wall_s > 0 else 0.0

    def _send_due(self) -> None:
        """Start every request whose instant has come: many after a stall, since the schedule never moves."""
        now_ns = time.monotonic_ns()
        while self._next < len(self._due_ns) and self._due_ns[self._next] <= now_ns:
            if len(self._replies) < IN_FLIGHT_MAX:
                reply = asyncio.create_task(self._rank(self._next))
                self._replies.add(reply)
                reply.add_done_callback(self._replies.discard)
            self._next += 1

    async def _rank(self, at: int) -> None:
        row, call = self.rows[at], self._calls[at % len(self._calls)]
        row["sent_ns"] = time.monotonic_ns() - self._start_ns
        try:
            data = await call(self._payloads[at], timeout=self._deadline_s)
        except grpc.RpcError as error:
            row["done_ns"] = time.monotonic_ns() - self._start_ns
            self._note_refusal(row, error)
            return
        row["done_ns"] = time.monotonic_ns() - self._start_ns
        try:
            note_answer(row, pb.RankResponse.FromString(data))
        except DecodeError:
            self._note(row, FAILED, "UNREADABLE_ANSWER")

    def _note_refusal(self, row: Any, error: grpc.RpcError) -> None:
        code, details = error.code(), refusal.read(error.trailing_metadata() or ())
        # Without Podium's own word a no is not a refusal: it is the network, or a server that fell over.
        unsigned = TIMEOUT if code is grpc.StatusCode.DEADLINE_EXCEEDED else FAILED
        self._note(row, details.kind if details.kind in KINDS else unsigned, details.reason or code.name)
        row["code"] = code.value[0]

    def _note(self, row: Any, ending: str, reason: str) -> None:
        row["ending"] = ENDINGS.index(ending)
        row["reason"] = self.reasons.setdefault(reason, len(self.reasons))


def note_answer(row: Any, response: pb.RankResponse) -> None:
    """Fill a record from an answer."""
    row["ending"] = ENDINGS.index(ANSWERED)
    row["step"] = response.step
    row["candidates"], row["scored"] = response.coverage.candidates, response.coverage.scored
    row["server_us"] = response.timings.total_us
    top = response.order[:TOP]
    row["top"][: len(top)] = top
