"""The operations port: /metrics, /livez, /readyz, /status.json.

A thread of its own, so that it answers under overload.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

CLOSING_POLL_S = 0.05
"""How often the thread looks whether it should end; the library's half second was most of a server's stop."""

Readiness = Callable[[], tuple[bool, str]]
"""Whether the server is ready, and a sentence for a person."""
Overview = Callable[[], bytes]
"""All that the server can say of itself, as JSON."""


class OpsServer:
    """Serves until closed; port 0 picks a free one."""

    def __init__(
        self, host: str, port: int, registry: CollectorRegistry, readiness: Readiness, overview: Overview
    ) -> None:
        """Bind the port. Raises OSError when it is taken."""

        class Handler(BaseHTTPRequestHandler):
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
                    self._reply(200, overview(), "application/json")
                else:
                    self._reply(404, b"try /metrics, /livez, /readyz or /status.json\n", "text/plain")

            def _reply(self, status: int, body: bytes, content_type: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
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
