"""The operations port: the status page, /metrics, /livez, /readyz, /status.json.

A thread of its own, so that it answers under overload.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from server import page

CLOSING_POLL_S = 0.05
"""How often the thread looks whether it should end; the library's half second was most of a server's stop."""

Readiness = Callable[[], tuple[bool, str]]
"""Whether the server is ready, and a sentence for a person."""
Overview = Callable[[], Mapping[str, Any]]
"""All that the server can say of itself, as plain values."""

FRESH_S = 0.25
"""So long one overview serves everybody who asks: many viewers cost what one does."""
IDLE_S_MAX = 10.0
"""A peer that is silent for so long is hung up on."""


class OpsServer:
    """Serves until closed; port 0 picks a free one."""

    def __init__(
        self, host: str, port: int, registry: CollectorRegistry, readiness: Readiness, overview: Overview
    ) -> None:
        """Bind the port. Raises OSError when it is taken."""

        current = _Fresh(overview)

        class Handler(BaseHTTPRequestHandler):
            timeout = IDLE_S_MAX

            def do_GET(self) -> None:
                if self.path == "/metrics":
                    encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                    self._reply(200, encode(registry), content_type)
                elif self.path == "/livez":
                    self._reply(200, b"ok\n", "text/plain")
                elif self.path == "/readyz":
                    ready, sentence = readiness()
                    self._reply(200 if ready else 503, f"{sentence}\n".encode(), "text/plain")
                elif self.path == "/status.json":
                    body = msgspec.json.format(msgspec.json.encode(current()), indent=2) + b"\n"
                    self._reply(200, body, "application/json")
                elif self.path == "/":
                    self._reply(200, page.render(current()).encode(), "text/html; charset=utf-8")
                else:
                    self._reply(404, b"try /, /metrics, /livez, /readyz or /status.json\n", "text/plain")

            def _reply(self, status: int, body: bytes, content_type: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "no-store")
                self.send_header("X-Content-Type-Options", "nosniff")
                if content_type.startswith("text/html"):
                    self.send_header("Content-Security-Policy", page.POLICY)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """A scrape every few seconds is no news."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(CLOSING_POLL_S,), name="ops-http", daemon=True
        )

    @property
    def port(self) -> int:
        """The port really bound."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering and free the port."""
        self._server.shutdown()
        self._server.server_close()


class _Fresh:
    """The overview, made anew when the last is older than FRESH_S; who asks meanwhile waits for it."""

    def __init__(self, make: Overview) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: Mapping[str, Any] = {}
        self._made_s = float("-inf")

    def __call__(self) -> Mapping[str, Any]:
        with self._lock:
            if time.monotonic() - self._made_s > FRESH_S:
                self._made = self._make()
                self._made_s = time.monotonic()
            return self._made
