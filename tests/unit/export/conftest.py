"""One traced graph and one written bundle of the tiny ranker, shared: tracing takes seconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest
import torch

from export.codec import Codec
from export.gates.evidence import Evidence, Subject
from export.pipeline import export
from export.reference import Reference
from export.report import Report
from export.spec import ExportSpec
from export.tracing import trace
from tests.export_specs import tiny


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Exported:
    """A bundle of the tiny ranker and the report that came with it."""

    report: Report
    path: Path


@pytest.fixture(scope="session")
def spec() -> ExportSpec:
    return tiny.spec()


@pytest.fixture(scope="session")
def codec(spec: ExportSpec) -> Codec:
    return Codec(spec)


@pytest.fixture(scope="session")
def evidence(spec: ExportSpec, codec: Codec) -> Evidence:
    return Evidence.gather(spec, codec, Reference(spec, codec))


@pytest.fixture(scope="session")
def graph(spec: ExportSpec, codec: Codec, evidence: Evidence) -> onnx.ModelProto:
    """The fp32 graph; tests that change it copy it first."""
    return trace(spec, codec, evidence.requests[0])


@pytest.fixture(scope="session")
def fp32(graph: onnx.ModelProto) -> Subject:
    return Subject("fp32", graph)


@pytest.fixture(scope="session")
def exported(spec: ExportSpec, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    report = export(spec, tmp_path_factory.mktemp("models"), source="tests.export_specs.tiny:spec")
    return Exported(report, Path(report.path))
