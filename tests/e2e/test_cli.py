"""`podium` against real servers and bundles: exit codes, tables, JSON, and one sentence where it fails."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from measures.order import rank_order
from podium.cli import main
from protos.request_set import write_messages
from tests.bundles.tiny import STRICT, TINY, WORDS, TinyRanker
from tests.e2e.running import REPOSITORY, STOP_S_MAX, RunningServer, environment, start_and_fail

EXAMPLE = TINY.example(12, seed=5)

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    """A request set of two: one of 3 candidates, and EXAMPLE."""
    path = tmp_path / "eval.podium"
    write_messages(path, [TINY.message(each).SerializeToString() for each in (TINY.example(3), EXAMPLE)])
    return path


def run(argv: Sequence[object], captured: Captured) -> str:
    """Standard output of a command that must end well."""
    assert 0 == main([str(word) for word in argv]), captured.readouterr().err
    return captured.readouterr().out


def sentence(argv: Sequence[object], captured: Captured) -> str:
    """What a command that must fail says: one line on standard error, nothing on standard output."""
    assert 1 == main([str(word) for word in argv])
    output = captured.readouterr()
    assert "" == output.out
    (line,) = output.err.splitlines()
    return line


def expected_ranking() -> list[dict[str, Any]]:
    """EXAMPLE ranked by hand, best first."""
    scores, prior = TINY.scores(EXAMPLE), EXAMPLE.prior
    prior_rank = np.argsort(rank_order(np.full(12, np.nan, np.float32), prior)) + 1
    return [
        {
            "rank": place,
            "id": int(EXAMPLE.items[at]),
            "index": int(at),
            "score": float(scores[at]),
            "prior_rank": int(prior_rank[at]),
        }
        for place, at in enumerate(rank_order(scores, prior), 1)
    ]


@pytest.mark.parametrize("door", [[], ["--stream"]], ids=["unary", "stream"])
def test_rank_prints_the_ranking_as_json(
    server: RunningServer, requests: Path, capsys: Captured, door: list[str]
) -> None:
    """`rank --json` gives the chosen request's candidates best first, with scores and prior ranks."""
    argv = ["rank", "--target", server.target, "--index", 1, "--top", 0, "--json", *door, "tiny", requests]
    answer = msgspec.json.decode(run(argv, capsys))

    assert expected_ranking() == answer["ranking"]
    assert ("tiny", 1, "int8", "full") == tuple(
        answer[key] for key in ("model", "version", "variant", "step")
    )


def test_rank_prints_a_table(server: RunningServer, requests: Path, capsys: Captured) -> None:
    """Without --json: a line per candidate, as many as --top says, and how they were scored."""
    lines = run(
        ["rank", "--target", server.target, "--index", 1, "--top", 4, "tiny", requests], capsys
    ).splitlines()

    shown = [[str(row["rank"]), str(row["id"]), f"{row['score']:.4f}"] for row in expected_ranking()[:4]]
    assert shown == [line.split()[:3] for line in lines[1:5]]
    assert lines[5].startswith("tiny 1 int8, step full: 12 of 12 candidates scored in ")


def test_rank_reads_a_request_written_as_json(
    server: RunningServer, tmp_path: Path, capsys: Captured
) -> None:
    """Plain numbers in a file take the dtypes of the server's manifest and rank as the set's request does."""
    path = tmp_path / "request.json"
    assert EXAMPLE.prior is not None
    request = {
        "ids": EXAMPLE.items.tolist(),
        "columns": {"features": EXAMPLE.features.tolist(), "price": EXAMPLE.price.tolist()},
        "context": {"history": EXAMPLE.history.tolist()},
        "prior_scores": EXAMPLE.prior.tolist(),
    }
    path.write_bytes(msgspec.json.encode(request))
    argv = ["rank", "--target", server.target, "--top", 0, "--json", "tiny", path]

    assert expected_ranking() == msgspec.json.decode(run(argv, capsys))["ranking"]


def test_rank_fails_in_one_sentence(server: RunningServer, requests: Path, capsys: Captured) -> None:
    """An unknown model, an index beyond the set, a missing file: each is named, without a traceback."""
    rank = ["rank", "--target", server.target]

    assert "MODEL_NOT_FOUND" in sentence([*rank, "nobody", requests], capsys)
    assert "holds 2 requests; there is no --index 2" in sentence(
        [*rank, "--index", 2, "tiny", requests], capsys
    )
    assert "podium rank: absent.podium: No such file or directory" == sentence(
        [*rank, "tiny", "absent.podium"], capsys
    )


def test_models_lists_what_is_served(server: RunningServer, capsys: Captured) -> None:
    """Every model with state, variants and budget; --json and the table agree."""
    found = msgspec.json.decode(run(["models", "--target", server.target, "--json"], capsys))
    table = run(["models", "--target", server.target], capsys).splitlines()

    names = sorted(ranker.name for ranker in (TINY, STRICT, WORDS))
    assert [(name, "serving", 2000.0) for name in names] == [
        (entry["model"], entry["state"], entry["budget_ms"]) for entry in found
    ]
    assert names == [line.split()[0] for line in table[1:]]


def test_a_server_that_is_not_there_is_one_sentence(capsys: Captured) -> None:
    """Nobody listens on the target: said in one line."""
    assert "Connection refused" in sentence(["models", "--target", "127.0.0.1:1"], capsys)


def test_inspect_shows_a_verified_bundle(tmp_path: Path, capsys: Captured) -> None:
    """A sound bundle's manifest comes back whole; the table names its variants and says that files verify."""
    bundle = TINY.write(tmp_path)
    found = msgspec.json.decode(run(["inspect", "--json", bundle], capsys))
    text = run(["inspect", bundle], capsys)

    assert True is found["verified"]
    assert ("tiny", 1, ["fp32", "int8"]) == (
        found["manifest"]["model"],
        found["manifest"]["version"],
        sorted(found["manifest"]["variants"]),
    )
    assert "all verified" in text
    assert "int8 (default)" in " ".join(text.split())


def test_inspect_finds_a_damaged_file(tmp_path: Path, capsys: Captured) -> None:
    """A file that is not what the manifest says fails the command, by name."""
    bundle = TINY.write(tmp_path)
    (bundle / "golden.podium").write_bytes(b"damage")

    assert "golden.podium" in sentence(["inspect", bundle], capsys)


def test_doctor_prints_json(capsys: Captured) -> None:
    """`doctor --json` lists findings with a name, a value and a warning."""
    found = msgspec.json.decode(run(["doctor", "--json"], capsys))

    assert {"cpu", "clock", "open files", "execution providers"} <= {entry["name"] for entry in found}
    assert {"name", "value", "warning"} == set(found[0])


def test_verbs_of_other_parts_keep_their_exit_codes(capsys: Captured) -> None:
    """export and loadtest fail with 1 and one sentence, and with 2 when mistyped."""
    assert "nowhere" in sentence(["export", "nowhere:spec"], capsys)
    assert "absent" in sentence(["loadtest", "report", "absent"], capsys)
    assert 2 == main(["export"])
    assert 2 == main(["loadtest", "run"])


def test_serve_is_the_server(tmp_path: Path) -> None:
    """`podium serve` takes the server's arguments, serves, and ends with 0 when told to."""
    TinyRanker(variants=("fp32",)).write(tmp_path)
    command = [sys.executable, "-m", "podium", "serve", "--models", str(tmp_path), "--port", "0"]
    command += ["--ops-port", "0", "--set", "drain.lame_duck_s=0"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment(), **pipes) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            process.send_signal(signal.SIGTERM)
            code = process.wait(STOP_S_MAX)
        finally:
            process.kill()

    assert (True, 0) == (line.startswith("podium: serving on 127.0.0.1:"), code)


def test_serve_fails_as_the_server_does() -> None:
    """Exit code and sentence of `podium serve` are those of `python -m server`."""
    arguments = ["--models", "absent"]
    done = subprocess.run(
        [sys.executable, "-m", "podium", "serve", *arguments],
        cwd=REPOSITORY,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert start_and_fail(arguments) == (done.returncode, done.stderr)
    assert 1 == done.returncode
