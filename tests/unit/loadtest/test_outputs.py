"""What a run leaves in its folder."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from loadtest.assess import assess
from loadtest.outputs import RUN_FILE, SCHEMA_FILE, fold_again, load_run, save, schema
from tests.unit.loadtest.test_assess import evidence, look


def test_the_published_schema_is_that_of_the_code() -> None:
    """`run.schema.json` is generated; this says when to do it again."""
    assert schema() == SCHEMA_FILE.read_bytes()


def test_two_looks_are_folded_again_from_their_files(tmp_path: Path) -> None:
    """Probes, ticks and records of both, apart from one another; the numbers are the same."""
    outcome = assess(evidence(look(seed=0), look(seed=1)))
    save(outcome, tmp_path)
    again = fold_again(tmp_path)
    assert outcome.run == load_run(tmp_path)
    assert outcome.run == again.run
    assert outcome.windows == again.windows


def test_an_interrupted_run_is_folded_again_as_interrupted(tmp_path: Path) -> None:
    """The stop is part of the evidence."""
    rows = look()
    outcome = assess(evidence(rows[rows["intended_ns"] < 12e9], stopped_s=12.0))
    save(outcome, tmp_path)
    assert outcome.run == fold_again(tmp_path).run


def test_infinity_and_too_few_are_told_apart(tmp_path: Path) -> None:
    """In JSON: "inf" and null."""
    rows = look()
    rows["ending"][rows["phase"] == 2] = 0
    save(assess(evidence(rows)), tmp_path)
    storm = msgspec.json.decode((tmp_path / RUN_FILE).read_bytes())["phases"][2]["numbers"]
    assert "inf" == storm["latency"]["p50_ms"]
    assert storm["service"]["p50_ms"] is None


def test_windows_are_a_table_for_any_tool(tmp_path: Path) -> None:
    """One line per second under a header; what is not known is empty."""
    save(assess(evidence(look())), tmp_path)
    lines = (tmp_path / "windows.csv").read_text().splitlines()
    assert lines[0].startswith("t_s,phase,measured,offered,answered,in_time,refused,errors,p50_ms,p99_ms")
    assert 27 == len(lines) - 1
    assert lines[5].startswith("4.0,calm,True,")
    assert np.isfinite(float(lines[5].split(",")[3]))


def test_something_else_is_no_run(tmp_path: Path) -> None:
    """Named by its file."""
    (tmp_path / RUN_FILE).write_text('{"schema": "other"}')
    with pytest.raises(ValueError, match=r"run\.json"):
        load_run(tmp_path)
