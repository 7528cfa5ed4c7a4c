"""An alarm that an event loop can wait for, precise to some ten microseconds.

Event loops round their own timers to whole milliseconds (epoll's unit): sends would leave in clumps, and
hand a batching server ready-made batches. A timerfd wakes the loop through a file descriptor instead, and
unlike a spinning thread it takes no core and no interpreter lock from the replies.
"""

from __future__ import annotations

import contextlib
import ctypes
import os

_CLOCK_MONOTONIC = 1
_NONBLOCK_CLOEXEC = 0o4000 | 0o2000000
_ABSOLUTE = 1


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("it_interval", _Timespec), ("it_value", _Timespec))


class Alarm:
    """A Linux timerfd on CLOCK_MONOTONIC (through ctypes: `os.timerfd_create` came with Python 3.13)."""

    def __init__(self) -> None:
        """Raises OSError when the system has none left."""
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self._checked(self._libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK_CLOEXEC))
        """Readable once the alarm has gone off, until `clear`."""

    def set(self, at_ns: int) -> None:
        """Go off at `at_ns` on the monotonic clock; at once when that has passed."""
        # A value of 0 would disarm it.
        when = _Itimerspec(_Timespec(0, 0), _Timespec(*divmod(max(at_ns, 1), 1_000_000_000)))
        self._checked(self._libc.timerfd_settime(self.fd, _ABSOLUTE, ctypes.byref(when), None))

    def clear(self) -> None:
        """Take note that it went off."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 8)

    def close(self) -> None:
        """Free the descriptor."""
        os.close(self.fd)

    @staticmethod
    def _checked(result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result
