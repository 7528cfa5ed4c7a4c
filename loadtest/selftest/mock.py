"""A ranker with injected truths, to measure the measuring with.

    python -m loadtest.selftest.mock --inject '{"median_ms": 5}' --truth truth.json

Every request's fate is drawn from the mock's own seed, in order of arrival, and written to the truth file
when standard input ends. It ranks by id, largest first; `reversed` answers begin with the smallest. It prints
one line, `mock: serving on HOST:PORT`.

Rule: no code of the load test is used here but the form of what is injected. Even the clockwork differs: the
load test paces itself by timerfd, the mock by a thread that sleeps until an answer is due.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

import grpc
import msgspec
import numpy as np
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from loadtest.selftest.truth import FATES, Injected, Truth
from podium.v1 import ranking_pb2 as pb

SERVICE: Final = pb.DESCRIPTOR.services_by_name["Ranker"].full_name
READY: Final = "mock: serving on "
MODEL: Final = "mock"
REQUESTS_MAX: Final = 200_000
"""Fates are drawn before the first request comes."""
RETRY_MS: Final = 50
SWITCH_S: Final = 1e-4
"""How long one thread may keep the interpreter from another; Python's 5 ms would be an answer's delay."""

_REFUSALS: Final = {
    "overloaded": (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED"),
    "expired": (grpc.StatusCode.DEADLINE_EXCEEDED, "EXPIRED_IN_QUEUE"),
    "failed": (grpc.StatusCode.INTERNAL, "EXECUTION_FAILED"),
    "cancelled": (grpc.StatusCode.CANCELLED, "CANCELLED"),
}


class Clockwork:
    """Wakes coroutines at their instant: one thread, which sleeps until the next is due."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due: list[tuple[int, int, asyncio.Future[None]]] = []
        self._changed = threading.Condition()
        self._count = 0
        threading.Thread(target=self._run, daemon=True).start()

    async def until(self, at_ns: int) -> None:
        """Come back at `at_ns` on the monotonic clock."""
        future: asyncio.Future[None] = self._loop.create_future()
        with self._changed:
            self._count += 1
            heapq.heappush(self._due, (at_ns, self._count, future))
            self._changed.notify()
        await future

    def _run(self) -> None:
        while True:
            with self._changed:
                wait_s = (self._due[0][0] - time.monotonic_ns()) / 1e9 if self._due else None
                if wait_s is None or wait_s > 0:
                    self._changed.wait(wait_s)
                    continue
                _, _, future = heapq.heappop(self._due)
            self._loop.call_soon_threadsafe(_wake, future)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():  # its caller may have gone
        future.set_result(None)


class Mock:
    """Answers, or does not, as injected; keeps the account."""

    def __init__(self, injected: Injected) -> None:
        rng = np.random.default_rng(injected.seed)
        shares = [getattr(injected, fate) for fate in FATES[1:]]
        shares.insert(0, 1 - sum(shares))
        self._fates: list[int] = rng.choice(len(FATES), REQUESTS_MAX, p=shares).tolist()
        normal = rng.standard_normal(REQUESTS_MAX)
        self._delays_ms: list[float] = (injected.median_ms * np.exp(injected.sigma * normal)).tolist()
        self._injected = injected
        self._clockwork = Clockwork()
        self._fate: list[str] = []
        self._delay_ms: list[float] = []
        self._lag_ms: list[float] = []
        self._told_us: list[int] = []
        self._stall_ns = (0, 0)
        self._stalls: asyncio.Task[None] | None = None

    @property
    def truth(self) -> Truth:
        """What was done so far."""
        return Truth(
            fate=self._fate,
            delay_ms=self._delay_ms,
            lag_ms=self._lag_ms,
            told_us=self._told_us,
            stall_ns=self._stall_ns,
        )

    async def rank(self, data: bytes, context: Any) -> bytes:
        """One request's fate, on its own."""
        said = await self._fate_of(data)
        if isinstance(said, bytes):
            return said
        waits = [found for found in said.details if found.Is(error_details_pb2.RetryInfo.DESCRIPTOR)]
        trailers = (
            ("grpc-status-details-bin", said.SerializeToString()),
            ("grpc-retry-pushback-ms", str(RETRY_MS if waits else -1)),
        )
        code = next(code for code in grpc.StatusCode if code.value[0] == said.code)
        await context.abort(code, said.message, trailers)
        raise AssertionError("an aborted call goes on")

    async def rank_stream(self, _: object, context: Any) -> None:
        """The fates of a stream's requests, each as if it were on its own."""
        tasks: dict[int, asyncio.Task[None]] = {}
        saying = asyncio.Lock()  # one message at a time

        async def say(answer: Any) -> None:
            async with saying:
                await context.write(answer)

        async def rank(number: int, data: bytes) -> None:
            said = await self._fate_of(data)
            if isinstance(said, bytes):
                await say(pb.StreamResponse(id=number, ranked=pb.RankResponse.FromString(said)))
            else:
                await say(pb.StreamResponse(id=number, refused=said))

        await say(pb.StreamResponse(notice=pb.Notice(in_flight_max=REQUESTS_MAX)))
        try:
            while (asked := await context.read()) is not grpc.aio.EOF:
                if asked.HasField("rank"):
                    work = rank(asked.id, asked.rank.SerializeToString())
                    tasks[asked.id] = asyncio.create_task(work)
                elif asked.id in tasks and not tasks[asked.id].done():
                    tasks[asked.id].cancel()
                    await say(pb.StreamResponse(id=asked.id, refused=_refusal("cancelled")))
            await asyncio.gather(*tasks.values(), return_exceptions=True)
        finally:
            for task in tasks.values():
                task.cancel()

    async def _fate_of(self, data: bytes) -> bytes | status_pb2.Status:
        """An answer or a refusal, in its time."""
        arrived_ns, number = time.monotonic_ns(), len(self._fate)
        if not number and self._injected.stall_s:
            self._stalls = asyncio.create_task(self._stall(arrived_ns))
        fate = FATES[self._fates[number]]
        self._fate.append(fate)
        self._delay_ms.append(0.0)
        self._lag_ms.append(0.0)
        self._told_us.append(0)
        if fate in _REFUSALS:
            return _refusal(fate)
        if fate == "silent":
            await asyncio.get_running_loop().create_future()
        delay_ms = self._injected.late_ms if fate == "late" else self._delays_ms[number]
        self._delay_ms[number] = delay_ms
        self._told_us[number] = round(delay_ms * 1e3 * self._injected.told)
        reply = _reply(data, fate, self._told_us[number])
        due_ns = arrived_ns + round(delay_ms * 1e6)
        await self._clockwork.until(due_ns)
        self._lag_ms[number] = (time.monotonic_ns() - due_ns) / 1e6
        return reply

    async def _stall(self, first_ns: int) -> None:
        await self._clockwork.until(first_ns + round(self._injected.stall_at_s * 1e9))
        start_ns = time.monotonic_ns()
        # Meant to block: the one thread that reads requests and writes answers stands still.
        time.sleep(self._injected.stall_s)
        self._stall_ns = (start_ns, time.monotonic_ns())


def _refusal(fate: str) -> status_pb2.Status:
    code, reason = _REFUSALS[fate]
    status = status_pb2.Status(code=code.value[0], message=reason)
    info = error_details_pb2.ErrorInfo(reason=reason, domain="podium.v1", metadata={"kind": fate})
    status.details.add().Pack(info)
    if fate == "overloaded":
        wait = Duration()
        wait.FromMilliseconds(RETRY_MS)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=wait))
    return status


def _reply(data: bytes, fate: str, told_us: int) -> bytes:
    ids = np.frombuffer(pb.RankRequest.FromString(data).candidates.int_ids, "<i8")
    order = np.argsort(ids if fate == "reversed" else -ids)
    scored = len(ids) // 2 if fate == "degraded" else len(ids)
    response: bytes = pb.RankResponse(
        model=MODEL,
        version=1,
        variant=MODEL,
        step=pb.STEP_FEWER_CANDIDATES if fate == "degraded" else pb.STEP_FULL,
        order=order.tolist(),
        coverage=pb.Coverage(candidates=len(ids), scored=scored, by_ladder=len(ids) - scored),
        timings=pb.Timings(run_us=told_us, total_us=told_us, batch_rows=len(ids), batch_requests=1),
    ).SerializeToString()
    return response


async def _list_models(_: bytes, __: object) -> bytes:
    version = pb.ModelVersion(
        model=MODEL,
        version=1,
        state=pb.ModelVersion.STATE_SERVING,
        is_default=True,
        variants=[MODEL],
        default_variant=MODEL,
    )
    listed: bytes = pb.ListModelsResponse(models=[version]).SerializeToString()
    return listed


async def serve(injected: Injected, truth: Path) -> None:
    """Serve until standard input ends, then write the truth."""
    mock = Mock(injected)
    server = grpc.aio.server()
    # Without serializers the messages stay bytes.
    handlers = {
        "Rank": grpc.unary_unary_rpc_method_handler(mock.rank),
        "RankStream": grpc.stream_stream_rpc_method_handler(
            mock.rank_stream, pb.StreamRequest.FromString, pb.StreamResponse.SerializeToString
        ),
        "ListModels": grpc.unary_unary_rpc_method_handler(_list_models),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"{READY}127.0.0.1:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(grace=None)
    truth.write_bytes(msgspec.json.encode(mock.truth))


def main() -> None:
    """Parse the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.selftest.mock")
    parser.add_argument("--inject", required=True, help="what to do to the callers, as JSON")
    parser.add_argument("--truth", required=True, type=Path, help="file for what was done")
    given = parser.parse_args()
    # Ctrl-C goes to the whole group; when to end is the parent's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.setswitchinterval(SWITCH_S)
    asyncio.run(serve(msgspec.json.decode(given.inject, type=Injected), given.truth))


if __name__ == "__main__":
    main()
