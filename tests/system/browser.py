"""Headless Chromium, driven over two pipes (`--remote-debugging-pipe`): no driver and no network needed."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-pipe",
)
_ANSWER_S = 60.0


@dataclass
class Browser:
    """One browser with one page.

    Attributes:
        complaints: what the page wrote to the console as a warning or an error, threw, or failed to load.
        requested: every address that the page asked for.
    """

    commands: int
    replies: int
    session: str = ""
    complaints: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)
    _numbered: int = 0
    _buffer: bytes = b""
    _loaded: bool = False

    def open(self, path: Path, width: int, height: int, dark: bool = False) -> None:
        """Show a file in a window of this many CSS pixels, and wait until it has been loaded."""
        self.visit(path.as_uri(), width, height, dark)

    def visit(self, address: str, width: int, height: int, dark: bool = False, scripts: bool = True) -> None:
        """As `open`, for any address; only 127.0.0.1 can be reached. `scripts`: may the page's run?"""
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self._loaded = False
        self.call("Page.navigate", url=address)
        deadline = time.monotonic() + _ANSWER_S
        while not self._loaded:
            self._handle(self._read(deadline))
        if scripts:  # without them no frame is told of
            self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def evaluate(self, script: str) -> Any:
        """The value of an expression, as JSON has it; a promise is awaited."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def screenshot(self, whole: bool = False) -> bytes:
        """What is on the screen, or the whole page, as PNG."""
        options: dict[str, Any] = {"format": "png"}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            options |= {"captureBeyondViewport": True, "clip": {**size, "scale": 1}}
        return base64.b64decode(self.call("Page.captureScreenshot", **options)["data"])

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self._numbered += 1
        message: dict[str, Any] = {"id": self._numbered, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _ANSWER_S
        while (answer := self._read(deadline)).get("id") != self._numbered:
            self._handle(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    def _read(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self.replies], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            read = os.read(self.replies, 1 << 16)
            assert read, "the browser has gone"
            self._buffer += read
        message, _, self._buffer = self._buffer.partition(b"\0")
        decoded: dict[str, Any] = json.loads(message)
        return decoded

    def _handle(self, event: dict[str, Any]) -> None:
        method, params = event.get("method"), event.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Network.requestWillBeSent":
            self.requested.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("warning", "error", "assert"):
            self.complaints.append(str(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("warning", "error"):
            self.complaints.append(str(params["entry"]))


@contextmanager
def browser(chromium: str, profile: Path) -> Iterator[Browser]:
    """Start Chromium without a network, with a new profile; end it afterwards."""
    ours_read, theirs_write = _pipe()
    theirs_read, ours_write = _pipe()
    actions = [
        (os.POSIX_SPAWN_DUP2, theirs_read, 3),
        (os.POSIX_SPAWN_DUP2, theirs_write, 4),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    command = [chromium, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
    process = os.posix_spawn(chromium, command, dict(os.environ), file_actions=actions, setpgroup=0)
    os.close(theirs_read)
    os.close(theirs_write)
    try:
        shown = Browser(commands=ours_write, replies=ours_read)
        pages = shown.call("Target.getTargets")["targetInfos"]
        page = next(entry["targetId"] for entry in pages if entry["type"] == "page")
        shown.session = shown.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            shown.call(f"{domain}.enable")
        yield shown
    finally:
        os.killpg(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(ours_read)
        os.close(ours_write)


def _pipe() -> tuple[int, int]:
    """Both ends far from 3 and 4, where the browser expects its own."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 64) for end in ends]
    for end in ends:
        os.close(end)
    return high[0], high[1]
