"""The image's files: linted, and true to the code they ship."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import image_size
from server.config import Config
from tests.contract.source_tree import PARTS, REPOSITORY, imports_of

TOOLS = Path(sys.executable).parent
DOCKERFILES = ("Dockerfile", "Dockerfile.gpu")


def text(name: str) -> str:
    """A file of the repository."""
    return (REPOSITORY / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_dockerfile_is_linted(name: str) -> None:
    """hadolint has nothing to say."""
    done = subprocess.run(
        [TOOLS / "hadolint", REPOSITORY / name], capture_output=True, text=True, check=False
    )
    assert (0, "") == (done.returncode, done.stdout)


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_image_has_all_that_the_server_imports(name: str) -> None:
    """Its folders are those that the server, the client and the commands import; nothing of torch's."""
    copied = set(re.findall(r"^COPY (\w+)/ \1/$", text(name), flags=re.MULTILINE))
    needed: set[str] = set()
    waiting = {"podium", "server"}
    while waiting:
        part = waiting.pop()
        needed.add(part)
        # What a command imports when it is asked to, as `podium export`, comes with its own extra.
        waiting |= {each.top for each in imports_of(part) if each.top in PARTS and not each.lazy} - needed
    assert needed == copied


def test_the_build_sees_what_the_dockerfiles_copy() -> None:
    """.dockerignore lets through every path that a COPY names."""
    let_through = {
        line[1:].rstrip("/") for line in text(".dockerignore").splitlines() if line.startswith("!")
    }
    for name in DOCKERFILES:
        for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text(name), flags=re.MULTILINE):
            for path in line.split():
                assert path.rstrip("/") in let_through, (name, path)


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_image_exposes_the_ports_that_the_server_has(name: str) -> None:
    """EXPOSE and the probe's target are the configuration's defaults."""
    listen = Config().listen
    assert f"EXPOSE {listen.grpc_port} {listen.ops_port}\n" in text(name)
    assert f'"--target", "127.0.0.1:{listen.grpc_port}"' in text(name)


def test_the_image_is_small_enough(capsys: pytest.CaptureFixture[str]) -> None:
    """Installed requirements, own code and base layer: at most 450 MB, by the script's estimate."""
    assert 0 == image_size.main(), capsys.readouterr().out
