"""Weights beside the graph, from the export to the server; the limit a parameter, and once the real one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from export.pipeline import export
from export.weights import INLINE_BYTES_MAX, WEIGHTS_FILE, weight_bytes, write
from protos import manifest as manifests
from tests.e2e.test_hostile_bundles import catalog_of, load_folder, reseal
from tests.export_specs.tiny import spec

ROWS, WIDTH = 2_200_000, 84
"""Three tables of 0.74 GB: 2.2 GB, more than one protobuf message can be."""


def test_an_export_with_large_weights_serves(tmp_path: Path) -> None:
    """Every variant has its weights beside its graph, listed with their hash; the golden scores are met."""
    report = export(spec(), tmp_path, source="tests", inline_bytes_max=1000)
    bundle = Path(report.path)
    manifest = manifests.decode((bundle / manifests.MANIFEST_FILE).read_bytes())
    listed = {entry.path for entry in manifest.files}
    assert {f"fp32/{WEIGHTS_FILE}", f"int8/{WEIGHTS_FILE}"} <= listed
    catalog = catalog_of(tmp_path, "model_files.nodes_max=50000")
    (served,) = catalog.served()
    assert {"fp32", "int8"} == served.lanes.keys()
    assert {} == served.refused_variants


@pytest.mark.slow
def test_more_than_two_gigabytes_of_weights_are_served(tmp_path: Path) -> None:
    """A graph that protobuf cannot hold is written, checked in the child and served, mapped from its file."""
    from tests.bundles.tiny import TinyRanker

    bundle = TinyRanker(name="large", variants=("fp32",)).write(tmp_path)
    model = onnx.load(bundle / "fp32/fused.onnx")
    graph = model.graph
    graph.node[-1].output[0] = "plain"
    graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "columns"))
    last = "plain"
    for number in range(3):
        name = f"large{number}"
        graph.initializer.append(numpy_helper.from_array(np.zeros((ROWS, WIDTH), np.float32), name))
        graph.node.append(helper.make_node("Gather", [name, "item"], [f"rows{number}"]))
        graph.node.append(
            helper.make_node("ReduceSum", [f"rows{number}", "columns"], [f"s{number}"], keepdims=0)
        )
        output = "score" if number == 2 else f"t{number}"
        graph.node.append(helper.make_node("Add", [last, f"s{number}"], [output]))
        last = output
    assert weight_bytes(model) > 1 << 31 > INLINE_BYTES_MAX
    write(model, bundle / "fp32/fused.onnx")
    del model, graph
    reseal(bundle)
    assert (bundle / "fp32/fused.onnx").stat().st_size < 1 << 20
    loaded = load_folder(tmp_path, "model_files.cpu_s_max=60")
    assert () == loaded.catalog.refused
    assert WEIGHTS_FILE in Path("/proc/self/maps").read_text()
