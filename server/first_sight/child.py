"""The checking process: imports once, then forks for every bundle, so that none harms the next one's check.

Forking is safe here: one thread, and no session before the fork. What dies, hangs or floods is a sentence.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import sys
import time
from pathlib import Path

# Before numpy is imported, whose library would start a thread per core: a fork must find one thread.
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # noqa: TID251

import msgspec

import server.engine.ort  # noqa: F401 - here once, rather than in every fork
from server.config import ModelFiles
from server.engine.bundle import BadBundle
from server.first_sight.rehearsal import NO_MEMORY, rehearse
from server.first_sight.texts import line, shown, unforeseen
from server.first_sight.verdict import Question, Verdict

_ANSWER_BYTES_MAX = 1 << 20
_STAGE, _ANSWER = b"@", b"="
_MIB = 1 << 20
_MEMORY_PER_FILE_BYTE = 4
"""Weights are mapped, copied and laid out anew for the processor; the last of four is for the golden runs."""


def main() -> None:
    """Answer questions from standard input until it ends."""
    for question in sys.stdin.buffer:
        verdict = judge(msgspec.json.decode(question, type=Question))
        sys.stdout.buffer.write(msgspec.json.encode(verdict) + b"\n")
        sys.stdout.buffer.flush()


def judge(question: Question) -> Verdict:
    """Look at one bundle in a fork with limits."""
    limits = question.config.model_files
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        _look(question, write_end)
    os.close(write_end)
    heard, in_time = _listen(read_end, limits.wall_s_max)
    if not in_time:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    stages, answers = _told(heard)
    if answers:
        return msgspec.json.decode(answers[-1], type=Verdict)
    file = stages[-1].decode() if stages else "bundle.json"
    return Verdict(refused=f"{file}: {cause_of_death(status, in_time, limits)}")


def cause_of_death(status: int, in_time: bool, limits: ModelFiles) -> str:
    """The end of a sentence about a check that gave no answer.

    Args:
        status: as `os.waitpid` gives it.
        in_time: it ended by itself.
    """
    if not in_time:
        return f"its check took longer than {limits.wall_s_max:g} s (model_files.wall_s_max)"
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if number in (signal.SIGXCPU, signal.SIGKILL):
        return f"its check took more than {limits.cpu_s_max} s of processor time (model_files.cpu_s_max)"
    if number == signal.SIGABRT:
        return "its check was given up by ONNX Runtime (SIGABRT), as when memory ends; export it again"
    name = signal.Signals(number).name if number else f"exit code {os.waitstatus_to_exitcode(status)}"
    return f"its check crashed ({name}); export it again"


def _listen(descriptor: int, seconds_max: float) -> tuple[bytes, bool]:
    """All that is said until the end, and whether it ended in time."""
    ends = time.monotonic() + seconds_max
    heard = bytearray()
    with os.fdopen(descriptor, "rb", 0) as stream:
        while len(heard) < _ANSWER_BYTES_MAX:
            ready, _, _ = select.select([stream], [], [], max(ends - time.monotonic(), 0))
            if not ready:
                return bytes(heard), False
            part = stream.read(1 << 16)
            if not part:
                return bytes(heard), True
            heard += part
    return bytes(heard), False


def _told(heard: bytes) -> tuple[list[bytes], list[bytes]]:
    lines = heard.split(b"\n")[:-1]
    stages = [one[1:] for one in lines if one.startswith(_STAGE)]
    return stages, [one[1:] for one in lines if one.startswith(_ANSWER)]


def _look(question: Question, descriptor: int) -> None:
    """In the fork: never returns."""
    file = "bundle.json"

    def stage(next_file: str) -> None:
        nonlocal file
        file = shown(next_file)
        os.write(descriptor, _STAGE + file.encode() + b"\n")

    try:
        path, config = Path(question.bundle), question.config
        limit(path, config.model_files)
        try:
            verdict = Verdict(variants=rehearse(path, config, stage))
        except BadBundle as error:
            verdict = Verdict(refused=line(error))
        except MemoryError:
            verdict = Verdict(refused=f"{file} {NO_MEMORY}")
        except Exception as error:
            verdict = Verdict(refused=unforeseen(file, error))
        os.write(descriptor, _ANSWER + msgspec.json.encode(verdict) + b"\n")
    finally:
        os._exit(0)


def limit(bundle: Path, limits: ModelFiles) -> None:
    """Bound this process: memory by what the bundle's files justify, processor time, and no file may grow."""
    files = sum(file.stat().st_size for file in bundle.rglob("*") if file.is_file())
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    memory = now + limits.memory_mib_extra * _MIB + _MEMORY_PER_FILE_BYTE * files
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s_max, limits.cpu_s_max + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


if __name__ == "__main__":
    main()
