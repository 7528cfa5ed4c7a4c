"""A scenario file is read strictly: what it cannot mean is refused with the file and the key."""

from pathlib import Path

import msgspec
import pytest

from loadtest.scenario.form import Scenario
from loadtest.scenario.load import SCHEMA_FILE, BadScenario, load, schema, shipped
from loadtest.schedule.build import build

BASE = """
version = 1
name = "mine"
[[phases]]
name = "one"
duration_s = 2
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(BASE)
    return path


def test_the_shipped_scenarios_are_these() -> None:
    """Each can be read and scheduled."""
    assert ["burst", "day", "heavy-tail", "overload-sweep", "steady"] == shipped()
    for name in shipped():
        scenario = load(name, ["rate_per_s=50", "slo.budget_ms=25"])
        assert name == scenario.name
        assert len(build(scenario, messages=100, seed=0).intended_ns)


def test_the_published_schema_is_that_of_the_code() -> None:
    """`loadtest/scenarios/schema.json` is generated; this says when to do it again."""
    assert schema() == SCHEMA_FILE.read_bytes()
    assert "Scenario" in msgspec.json.decode(schema())["$ref"]


def test_a_file_is_read_with_defaults(file: Path) -> None:
    """What is not said has the default; a phase is Poisson at load 1."""
    scenario = load(str(file))
    assert ("mine", 99.0, 1.0) == (
        scenario.name,
        scenario.slo.percentile,
        scenario.phases[0].arrivals.load,  # type: ignore[union-attr]
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["slo.budget=3"], "unknown field `budget` - at `$.slo`"),
        (["phases.0.arrivals.process=poison"], "Invalid value 'poison' - at `$.phases[0].arrivals.process`"),
        (["phases.0.duration_s=0"], "Expected `float` > 0.0 - at `$.phases[0].duration_s`"),
        (["slo.percentile=100"], "at `$.slo.percentile`"),
        (["phases.1.name=x"], "1 is not one of the 1 entries"),
        (["phases.0.name.x=1"], "name holds a value, not keys"),
        (["rate_per_s"], "must read key=value"),
        (["phases.0.measure=false"], "no phase is measured"),
        (
            ['workload.mix=[{candidates={dist="quantiles",points=[[0,1],[0.5,2]]}}]'],
            "shares must rise from 0 to 1",
        ),
        (['workload.mix=[{candidates={dist="quantiles",points=[[0,3],[1,2]]}}]'], "counts must not fall"),
        (['phases=[{name="a",duration_s=1},{name="a",duration_s=1}]'], "different names"),
        (
            [
                'phases=[{name="a",duration_s=1},{name="b",duration_s=1,arrivals={process="closed",in_flight=2}}]'
            ],
            "a closed loop must be the only phase",
        ),
        (
            ['phases.0.arrivals={process="onoff",loads=[1,2],dwell_s=[1,2,3]}'],
            "loads and dwell_s must have one length",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_by_key(file: Path, settings: list[str], said: str) -> None:
    """The sentence names the file or the setting, and the key."""
    with pytest.raises(BadScenario) as refused:
        load(str(file), settings)
    assert said in str(refused.value)
    assert str(file) in str(refused.value) or settings[0] in str(refused.value)


def test_what_is_no_scenario_is_refused(tmp_path: Path) -> None:
    """No such name, no such file, not TOML: one sentence each."""
    with pytest.raises(BadScenario, match=r"steedy: no such scenario; shipped: burst, day"):
        load("steedy")
    with pytest.raises(BadScenario, match="no such scenario"):
        load(str(tmp_path / "absent.toml"))
    (tmp_path / "bad.toml").write_text("version = ")
    with pytest.raises(BadScenario, match=r"bad\.toml: is not TOML"):
        load(str(tmp_path / "bad.toml"))
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(BadScenario, match="cannot be read"):
        load(str(tmp_path / "bytes.toml"))


def test_settings_need_no_quotes(file: Path) -> None:
    """A path, an address or a word is a string; a number stays one."""
    scenario = load(
        str(file), ["target.address=127.0.0.1:5", "workload.bundle=models/movies/1", "rate_per_s=3"]
    )
    assert ("127.0.0.1:5", "models/movies/1", 3.0) == (
        scenario.target.address,
        scenario.workload.bundle,
        scenario.rate_per_s,
    )


def test_a_scenario_survives_json() -> None:
    """It stands in run.json, and comes back the same."""
    for name in shipped():
        scenario = load(name)
        assert scenario == msgspec.json.decode(msgspec.json.encode(scenario), type=Scenario)
