"""One client process from its first to its last breath: connect, say so, send its share, hand over."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import uvloop
from numpy.typing import NDArray

from loadtest.client import store
from loadtest.client.closed import Closed
from loadtest.client.doors import make
from loadtest.client.sender import Seen, Sender, Share
from loadtest.client.throttled import Throttled
from loadtest.scenario.form import Transport
from protos.request_set import read_messages

STOP = "stop"
"""From the parent: send no more, wait for what is in flight, hand over."""


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One process's part of a run.

    Attributes:
        store, rows: the file of all records, and how many it holds.
        mine: int64 [requests], which of them are this process's.
        messages: file of all messages.
        core: where to run; None = anywhere.
        throttle: refuse here what the server would.
        closed: (in flight, think seconds, end in ns) of a closed loop; None = open.
    """

    transport: Transport
    address: str
    connections: int
    store: str
    rows: int
    mine: NDArray[np.int64]
    messages: str
    timeout_s: NDArray[np.float64]
    sampled: NDArray[np.bool_]
    core: int | None
    in_flight_max: int
    throttle: bool = False
    closed: tuple[int, float, int] | None = None


def main(pipe: Connection, task: Task) -> None:
    """Say "" (ready) or why not, receive the start instant (monotonic ns), run, answer with `Seen`."""
    # Ctrl-C goes to the whole group; when to stop is the parent's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if task.core is not None:
        os.sched_setaffinity(0, {task.core})
    uvloop.run(_serve(pipe, task))


async def _serve(pipe: Connection, task: Task) -> None:
    share, messages = _share(task)
    door = make(task.transport, task.address, task.connections)
    if task.throttle:
        door = Throttled(door)
    try:
        await door.open()
    except ConnectionError as error:
        pipe.send(str(error))
        await door.close()
        return
    gc.collect()
    gc.freeze()
    gc.disable()
    pipe.send("")
    start_ns: int = await asyncio.to_thread(pipe.recv)
    sender: Sender | Closed
    if task.closed is None:
        sender = Sender(share, messages, door, start_ns, task.in_flight_max)
    else:
        sender = Closed(share, messages, door, start_ns, task.closed)
    loop = asyncio.get_running_loop()

    def told() -> None:
        loop.remove_reader(pipe.fileno())
        with contextlib.suppress(EOFError):  # the parent has gone: nobody wants the rest
            pipe.recv()
        sender.stop()

    loop.add_reader(pipe.fileno(), told)
    seen: Seen = await sender.run()
    loop.remove_reader(pipe.fileno())
    # The loop made it non-blocking; a whole `Seen` does not fit into a pipe's buffer at once.
    os.set_blocking(pipe.fileno(), True)
    pipe.send(seen)
    await door.close()


def _share(task: Task) -> tuple[Share, Sequence[bytes]]:
    rows = store.attach(Path(task.store), task.rows)
    columns = np.asarray(rows["intended_ns"])[task.mine], np.asarray(rows["message"])[task.mine]
    share = Share(
        rows=_Chosen(rows, task.mine),
        intended_ns=columns[0],
        message=columns[1].astype(np.int64),
        timeout_s=task.timeout_s,
        sampled=task.sampled,
    )
    return share, read_messages(Path(task.messages))


class _Chosen:
    """`rows[mine[at]]` as `[at]`: an index array would copy the rows, and the parent would not see them."""

    def __init__(self, rows: NDArray[np.void], mine: NDArray[np.int64]) -> None:
        self._rows = rows
        self._mine: list[int] = mine.tolist()

    def __getitem__(self, at: int) -> np.void:
        row: np.void = self._rows[self._mine[at]]
        return row
