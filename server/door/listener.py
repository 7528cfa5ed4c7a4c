"""The listening socket and every connection: accepting, looking after, leaving."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from http2.server import Limits
from server.door.call import Method
from server.door.link import Link

HEARD_S_MAX: Final = 1.0
"""How long a leaving server waits for a peer with no open call to say that it has heard."""
READ_BYTES: Final = 256 << 10
"""Most that is read at once: what is read together is begun together, and still fits a core's cache."""
_BACKLOG: Final = 1024
_POLL_S: Final = 0.005


class Listener:
    """Serves until it leaves. Belongs to the running event loop."""

    def __init__(
        self, methods: Mapping[str, Method], limits: Limits, log: Any, *, keepalive_s: float
    ) -> None:
        """Args: `keepalive_s`: when a peer is pinged; if it is silent as long again, it is hung up on."""
        self._methods = {name.encode(): method for name, method in methods.items()}
        self._limits = limits
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._log = log
        self._keepalive_s = keepalive_s
        self._leaving = False
        self._links: set[Link] = set()
        self._server: asyncio.Server | None = None
        self._sweep: asyncio.Task[None] | None = None

    async def listen(self, host: str, port: int) -> int:
        """Bind and accept; port 0 picks a free one.

        Returns:
            The port really bound.

        Raises:
            OSError: it cannot be bound; a port in use is an error, not a second server beside the first.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._link, host, port, backlog=_BACKLOG)
        self._sweep = loop.create_task(self._look_after())
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    def _link(self) -> Link:
        return Link(self, self._methods, self._limits, self._buffer, self._log)

    def opened(self, link: Link) -> None:
        """See `link.Owner`."""
        self._links.add(link)
        if self._leaving:  # it was being accepted when the others were told
            link.leave()

    def closed(self, link: Link) -> None:
        """See `link.Owner`."""
        self._links.discard(link)

    def draining(self) -> None:
        """Tell the calls that last that the server will leave."""
        for link in list(self._links):
            link.draining()

    async def leave(self, finish_s_max: float) -> None:
        """Accept nobody, let what was accepted finish, hang up.

        Args:
            finish_s_max: what is not finished by then is cut off.
        """
        assert self._server is not None
        assert self._sweep is not None
        self._leaving = True
        self._sweep.cancel()
        self._server.close()
        for link in list(self._links):
            link.leave()
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        while self._links and loop.time() - began_s < finish_s_max:
            await asyncio.sleep(_POLL_S)
            if loop.time() - began_s > HEARD_S_MAX:
                for link in [link for link in self._links if not link.busy]:
                    link.hang_up()
        for link in list(self._links):
            link.hang_up()
        await asyncio.sleep(0)  # their calls learn of it

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(self._keepalive_s)
            for link in list(self._links):
                link.look_after()
