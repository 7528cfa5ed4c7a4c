"""Configuration: later sources win, and nothing is accepted and ignored."""

from __future__ import annotations

import pytest

from server.config import Config, ConfigError, Model, load


def test_defaults_need_no_source() -> None:
    """Nothing given is the documented default: loopback, 50051 and 8002, ort, one executor."""
    config = load("", {}, [])
    assert Config() == config
    assert ("127.0.0.1", 50051, 8002, "ort", 1) == (
        config.listen.host,
        config.listen.grpc_port,
        config.listen.ops_port,
        config.engine.kind,
        config.engine.executors,
    )


def test_later_sources_win() -> None:
    """TOML, then environment, then --set; what a later one does not name stays."""
    toml = "[batch]\nrows_max = 1\nrequests_max = 11\n[drain]\nlame_duck_s = 1"
    environ = {"PODIUM_BATCH__ROWS_MAX": "2", "PODIUM_DRAIN__LAME_DUCK_S": "2.5"}
    config = load(toml, environ, ["batch.rows_max=3"])
    assert (3, 11, 2.5) == (config.batch.rows_max, config.batch.requests_max, config.drain.lame_duck_s)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("listen.host=0.0.0.0", "0.0.0.0"),
        ('listen.host="::1"', "::1"),
        ("listen.host=::1", "::1"),
        ("listen.host=localhost", "localhost"),
    ],
)
def test_a_bare_word_is_a_string(setting: str, expected: str) -> None:
    """A shell's quoting is enough: TOML's is optional."""
    assert expected == load("", {}, [setting]).listen.host


def test_models_have_sections_of_their_own() -> None:
    """`[models.NAME]` stands beside `models.required`; a model without a section has the defaults."""
    toml = '[models]\nrequired = ["a"]\n[models.a]\nversions = [3, 1]\nbudget_ms = 20\n'
    config = load(toml, {}, ["models.b-2.budget_ms_critical=50"])
    assert ["a"] == config.models.required
    assert Model(versions=[3, 1], budget_ms=20.0) == config.models.of("a")
    assert Model(budget_ms_critical=50.0) == config.models.of("b-2")
    assert Model() == config.models.of("c")


def test_script_of_the_fake_engine() -> None:
    """Run numbers are keys, in a file or on the command line."""
    config = load("[engine.fake]\nfail_runs = [2]\n[engine.fake.stall_runs]\n4 = 10\n", {}, [])
    assert ([2], {4: 10.0}) == (config.engine.fake.fail_runs, config.engine.fake.stall_runs)
    assert {0: 3.0} == load("", {}, ["engine.fake.stall_runs.0=3"]).engine.fake.stall_runs


BAD = [
    ("bach.rows_max=3", "bach: unknown configuration key"),
    ("batch.rows=3", "batch.rows: unknown configuration key"),
    ("engine.fake.rows_us=3", "engine.fake.rows_us: unknown configuration key"),
    ("models.tiny.budget=3", "models.tiny.budget: unknown configuration key"),
    ("batch.rows_max=0", "batch.rows_max: expected `int` >= 1"),
    ("batch.rows_max=1.5", "batch.rows_max: expected `int`, got `float`"),
    ("batch.rows_max=true", "batch.rows_max: expected `int`, got `bool`"),
    ("listen.grpc_port=65536", "listen.grpc_port: expected `int` <= 65535"),
    ("drain.lame_duck_s=-1", "drain.lame_duck_s: expected `float` >= 0.0"),
    ("drain.lame_duck_s=nan", "drain.lame_duck_s: expected `float` >= 0.0"),
    ("drain.lame_duck_s=inf", "drain.lame_duck_s: expected `float` <= 1000000000.0"),
    ("engine.kind=tpu", "engine.kind: invalid enum value 'tpu'"),
    ("engine.fake.stall_runs.x=3", "engine.fake.stall_runs: expected `int`, got `str`"),
    ("models.tiny.budget_ms=0", "models.tiny.budget_ms: expected `float` > 0.0"),
    ("models.tiny.versions=[1, 0]", "models.tiny.versions[1]: expected `int` >= 1"),
    ("models.required=tiny", "models.required: expected `array | null`, got `str`"),
    ("models.tiny=3", "models.tiny: expected `object`, got `int`"),
]


@pytest.mark.parametrize(("setting", "sentence"), BAD, ids=[setting for setting, _ in BAD])
def test_a_bad_setting_is_named_by_its_path(setting: str, sentence: str) -> None:
    """The sentence begins with the key's path, wherever the setting came from."""
    with pytest.raises(ConfigError) as caught:
        load("", {}, [setting])
    assert sentence == str(caught.value)
    path, _, value = setting.partition("=")
    with pytest.raises(ConfigError) as caught:
        load("", {"PODIUM_" + path.upper().replace(".", "__"): value}, [])
    assert sentence == str(caught.value)


@pytest.mark.parametrize("setting", ["batch.rows_max", "", "=3", "batch.=3", ".=3"])
def test_a_set_without_key_or_value_is_refused(setting: str) -> None:
    """`--set` wants a.b=value."""
    with pytest.raises(ConfigError) as caught:
        load("", {}, [setting])
    assert f"--set {setting}: expected a.b=value" == str(caught.value)


def test_a_value_is_no_section() -> None:
    """A path through a value is refused by name."""
    with pytest.raises(ConfigError) as caught:
        load("", {}, ["batch.rows_max=1", "batch.rows_max.x=2"])
    assert "batch.rows_max.x: rows_max is a value, not a section" == str(caught.value)


def test_a_section_is_no_value() -> None:
    """A section set to a value is refused by name."""
    with pytest.raises(ConfigError) as caught:
        load("", {}, ["listen=3"])
    assert "listen: expected `object`, got `int`" == str(caught.value)


def test_toml_that_does_not_parse_is_refused() -> None:
    """With the parser's own words."""
    with pytest.raises(ConfigError, match="configuration file: "):
        load("[batch", {}, [])


def test_other_programs_variables_are_left_alone() -> None:
    """Only PODIUM_A__B is configuration, and a value of the first level."""
    assert Config(state_dir="/state") == load("", {"PODIUM_STATE_DIR": "/state"}, [])
    assert Config() == load("", {"PODIUM_DATA": "/data", "BATCH__ROWS_MAX": "3", "HOME": "/"}, [])
