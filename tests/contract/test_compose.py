"""deploy/compose.yaml and what it mounts: as far as it can be checked without starting it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from server.config import Config
from tests.contract.source_tree import REPOSITORY
from tests.system.dashboards import dashboards

DEPLOY = REPOSITORY / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
TOOLS = Path(sys.executable).parent
HOME = "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"


def read(path: Path) -> Any:
    """A YAML file."""
    return YAML(typ="safe").load(path.read_text("utf-8"))


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = read(COMPOSE)["services"]
    return found


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """Path in the container -> path here, of the files and folders of this repository."""
    pairs = [entry.split(":")[:2] for entry in service["volumes"] if isinstance(entry, str)]
    return {inner: outer for outer, inner in pairs if outer.startswith(".")}


def test_it_is_a_compose_file() -> None:
    """The Compose specification's own schema finds nothing."""
    done = subprocess.run(
        [TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr


def test_the_check_finds_a_misspelt_key(tmp_path: Path) -> None:
    """It is no check that passes anything."""
    file = tmp_path / "compose.yaml"
    file.write_text(COMPOSE.read_text().replace("    restart:", "    restrat:", 1))
    done = subprocess.run(
        [TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", file],
        capture_output=True,
        check=False,
    )
    assert 0 != done.returncode


@pytest.mark.parametrize("name", ["grafana", "prometheus"])
def test_what_it_mounts_is_here(services: dict[str, Any], name: str) -> None:
    """Files of this repository exist, and are read-only in the container."""
    found = mounts(services[name])
    assert found
    for outer in found.values():
        assert (DEPLOY / outer).exists(), outer
    for entry in services[name]["volumes"]:
        assert not entry.startswith(".") or entry.endswith(":ro"), entry


def test_it_builds_the_repository_s_image(services: dict[str, Any]) -> None:
    """The build's folder is the one with the Dockerfile; models come from a folder that must exist."""
    podium = services["podium"]
    assert (DEPLOY / podium["build"] / "Dockerfile").is_file()
    (models,) = (entry for entry in podium["volumes"] if not isinstance(entry, str))
    assert ("/models", True, False) == (
        models["target"],
        models["read_only"],
        models["bind"]["create_host_path"],
    )


def test_ports_are_this_machine_s_only(services: dict[str, Any]) -> None:
    """Whatever is published is published on 127.0.0.1; of the server, what it listens on."""
    for name, service in services.items():
        for port in service["ports"]:
            assert port.startswith("127.0.0.1:"), name
    listen = Config().listen
    assert [f"127.0.0.1:{port}:{port}" for port in (listen.grpc_port, listen.ops_port)] == services["podium"][
        "ports"
    ]


def test_images_are_pinned(services: dict[str, Any]) -> None:
    """Each by its full version; ours by the one that is built."""
    for name, service in services.items():
        assert re.fullmatch(r"[a-z0-9/-]+:v?\d+\.\d+\.\d+", service["image"]), name
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert "podium:" + project["version"] == services["podium"]["image"]


def test_nobody_has_rights_to_spare(services: dict[str, Any]) -> None:
    """No capabilities, no new privileges; a read-only root where nothing is written."""
    for service in services.values():
        assert ["ALL"] == service["cap_drop"]
        assert ["no-new-privileges:true"] == service["security_opt"]
    assert {"podium", "prometheus"} == {
        name for name, service in services.items() if service.get("read_only")
    }


def test_there_is_time_to_drain(services: dict[str, Any]) -> None:
    """A stop waits longer than the server may take."""
    drain = Config().drain
    seconds = int(services["podium"]["stop_grace_period"].removesuffix("s"))
    assert seconds > drain.lame_duck_s + drain.finish_s_max


def test_grafana_finds_the_dashboards(services: dict[str, Any]) -> None:
    """The provider's path is where compose mounts them, and the first page is the overview."""
    (provider,) = read(DEPLOY / "grafana/provisioning/dashboards/podium.yaml")["providers"]
    path = provider["options"]["path"]
    found = mounts(services["grafana"])
    folder = DEPLOY / found[path]
    assert set(dashboards()) == {file.name for file in folder.iterdir()}
    home = Path(services["grafana"]["environment"][HOME])
    assert Path(path) == home.parent
    assert "podium-overview" == dashboards()[home.name]["uid"]
    assert (DEPLOY / found["/etc/grafana/provisioning"] / "dashboards/podium.yaml").is_file()


def test_grafana_finds_prometheus(services: dict[str, Any]) -> None:
    """Its data source is the one that the dashboards choose at first, at the address compose gives it."""
    (source,) = read(DEPLOY / "grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    assert source["isDefault"]
    for dashboard in dashboards().values():
        (variable,) = (one for one in dashboard["templating"]["list"] if one["name"] == "datasource")
        assert (source["type"], source["uid"]) == (variable["query"], variable["current"]["value"])
    host, port = source["url"].removeprefix("http://").split(":")
    assert services[host]["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_prometheus_finds_the_server(services: dict[str, Any]) -> None:
    """It scrapes the service's operations port, as often as Grafana believes, and its rules are mounted."""
    found = mounts(services["prometheus"])
    file = DEPLOY / found["/etc/prometheus/prometheus.yml"]
    configuration = read(file)
    targets = [
        target
        for job in configuration["scrape_configs"]
        for entry in job.get("static_configs", ())
        for target in entry["targets"]
    ]
    assert f"podium:{Config().listen.ops_port}" in targets
    (source,) = read(DEPLOY / "grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    assert configuration["global"]["scrape_interval"] == source["jsonData"]["timeInterval"]
    for pattern in configuration["rule_files"]:
        inner = Path("/etc/prometheus") / pattern
        assert list((DEPLOY / found[str(inner.parent)]).glob(inner.name)), pattern
