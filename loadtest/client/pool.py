"""The client processes as seen from their parent: start, begin together, follow, stop, collect."""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Final

from loadtest.client import process
from loadtest.client.door import CONNECT_S_MAX
from loadtest.client.process import Task
from loadtest.client.sender import Seen

LEAD_S: Final = 0.25
"""From "all ready" to the first instant: time for the start to reach every process."""
READY_S_MAX: Final = 60.0
"""A process may take so long to import, read its messages and connect."""
REPLY_S_MAX: Final = 30.0
"""How long past its last deadline a process may take to hand over."""
LOOK_S: Final = 0.1

Look = Callable[[float], None]
"""Told the seconds since the start, about ten times a second. It may raise KeyboardInterrupt."""


class ClientFailed(Exception):
    """The client side could not do its part. One sentence."""


class Pool:
    """Processes that are connected and wait for the start."""

    def __init__(self, members: Sequence[tuple[Connection, BaseProcess]]) -> None:
        self._members = members
        for pipe, member in members:
            refusal = _receive(pipe, member, READY_S_MAX + CONNECT_S_MAX)
            if refusal:
                raise ClientFailed(str(refusal))

    def run(self, lasts_s: float, look: Look) -> tuple[list[Seen | None], float | None]:
        """Begin together, follow to the end.

        Args:
            lasts_s: until the last reply's deadline.

        Returns:
            What each process saw (None = it died), and when the user stopped it (None = not), in seconds.
        """
        start_s = time.monotonic() + LEAD_S
        for pipe, _ in self._members:
            pipe.send(round(start_s * 1e9))
        stopped_s: float | None = None
        until_s = start_s + lasts_s + REPLY_S_MAX
        while self._busy() and time.monotonic() < until_s:
            try:
                time.sleep(LOOK_S)
                look(time.monotonic() - start_s)
            except KeyboardInterrupt:
                if stopped_s is not None:
                    raise  # asked twice: at once
                stopped_s = max(time.monotonic() - start_s, 0.0)
                for pipe, member in self._members:
                    if member.is_alive():
                        with contextlib.suppress(BrokenPipeError):
                            pipe.send(process.STOP)
        return [_seen(pipe, member) for pipe, member in self._members], stopped_s

    def _busy(self) -> bool:
        return any(member.is_alive() and not pipe.poll(0) for pipe, member in self._members)


@contextlib.contextmanager
def started(tasks: Sequence[Task]) -> Iterator[Pool]:
    """Processes for these tasks; gone afterwards.

    Raises:
        ClientFailed: one cannot connect, or ended before it could.
    """
    # Spawned, never forked: gRPC does not survive a fork.
    context = multiprocessing.get_context("spawn")
    members: list[tuple[Connection, BaseProcess]] = []
    try:
        for task in tasks:
            ours, theirs = context.Pipe()
            member: BaseProcess = context.Process(target=process.main, args=(theirs, task), daemon=True)
            member.start()
            theirs.close()
            members.append((ours, member))
        yield Pool(members)
    finally:
        for pipe, member in members:
            member.join(timeout=1.0)
            member.terminate()
            member.join()
            pipe.close()


def _seen(pipe: Connection, member: BaseProcess) -> Seen | None:
    try:
        found = pipe.recv() if pipe.poll(0) else None
    except (EOFError, OSError):
        return None
    return found if isinstance(found, Seen) else None


def _receive(pipe: Connection, member: BaseProcess, within_s: float) -> object:
    try:
        if pipe.poll(within_s):
            return pipe.recv()
    except (EOFError, ConnectionResetError):
        pass
    raise ClientFailed(f"a client process did not get ready (exit code {member.exitcode})")
