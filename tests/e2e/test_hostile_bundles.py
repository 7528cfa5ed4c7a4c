"""Bundles made to do harm, hashes in order: each is refused with one sentence, and the sound one serves."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from protos import manifest as manifests
from server import logs
from server.catalog import Catalog
from server.config import ModelFiles, load
from server.first_sight.child import cause_of_death
from server.loader import Loaded, Loader
from server.policies import policy
from tests.bundles.tiny import TinyRanker, seal

SOUND = TinyRanker(name="sound", variants=("fp32",))
GRAPH = "fp32/fused.onnx"
SETTINGS = [
    "engine.warm_up_s_max=0.001",
    "logs.level=error",
    "model_files.cpu_s_max=2",
    "model_files.memory_mib_extra=768",
    "model_files.nodes_max=40",
    "model_files.attribute_bytes_max=4096",
]

Change = Callable[[onnx.ModelProto, Path], object]


def load_folder(models: Path, *settings: str) -> Loaded:
    """What a server makes of a folder, with its sessions."""
    config = load("", {}, [*SETTINGS, *settings])
    return Loader(config, policy(config), logs.configure(config.logs)).load(models)


def catalog_of(models: Path, *settings: str) -> Catalog:
    """What a server makes of a folder."""
    return load_folder(models, *settings).catalog


def reseal(bundle: Path) -> None:
    seal(bundle, manifests.decode((bundle / manifests.MANIFEST_FILE).read_bytes()))


def write_hostile(models: Path, name: str, change: Change) -> Path:
    """A bundle whose graph was changed, hashes in order."""
    bundle = TinyRanker(name=name, variants=("fp32",)).write(models)
    model = onnx.load(bundle / GRAPH)
    change(model, bundle)
    (bundle / GRAPH).write_bytes(model.SerializePartialToString())
    reseal(bundle)
    return bundle


def add_node(kind: str, inputs: str = "prior", domain: str = "", **attributes: Any) -> Change:
    return lambda model, _: model.graph.node.append(
        helper.make_node(kind, inputs.split(), ["extra"], name="bad", domain=domain, **attributes)
    )


def add_fill(*dims: int, after: str = "") -> Change:
    """Fill a tensor of these dims while loading; `after`: then multiply it with itself."""

    def change(model: onnx.ModelProto, _: Path) -> None:
        graph = model.graph
        graph.initializer.append(numpy_helper.from_array(np.array(dims, np.int64), "dims"))
        graph.node[-1].output[0] = "plain"
        one = numpy_helper.from_array(np.ones(1, np.float32), "value")
        graph.node.append(helper.make_node("ConstantOfShape", ["dims"], ["filled"], value=one))
        last = "filled"
        for number in range(19 if after else 0):
            graph.node.append(helper.make_node(after, [last, "filled"], [f"next{number}"]))
            last = f"next{number}"
        graph.node.append(helper.make_node("ReduceMean", [last], ["mean_of_all"], keepdims=0))
        graph.node.append(helper.make_node("Add", ["plain", "mean_of_all"], ["score"]))

    return change


def place_weights(location: str, **more: str) -> Change:
    """The table's weights lie elsewhere."""

    def change(model: onnx.ModelProto, bundle: Path) -> None:
        (bundle / "fp32/weights.bin").write_bytes(b"\0" * 160)
        (bundle / "fp32/link.bin").symlink_to("/etc/hostname" if "link" in location else "weights.bin")
        tensor = next(one for one in model.graph.initializer if one.name == "table")
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **more}.items():
            tensor.external_data.add(key=key, value=value)

    return change


def claim_dims(*dims: int) -> Change:
    def change(model: onnx.ModelProto, _: Path) -> None:
        model.graph.initializer[0].dims[:] = dims

    return change


def hold_a_loop(model: onnx.ModelProto, _: Path) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["one"], ["extra"], body=body))


def hide_a_graph(model: onnx.ModelProto, _: Path) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("extra", helper.make_graph([], "g", [], [])))


def bring_a_function(model: onnx.ModelProto, _: Path) -> None:
    model.functions.add(name="Add", domain="")


def bring_options(model: onnx.ModelProto, _: Path) -> None:
    model.metadata_props.add(key="ort_config", value="{}")


HOSTILE: Mapping[str, tuple[Change, str]] = {
    "fills-memory": (add_fill(40_000, 40_000), "needs more memory than its files justify"),
    "fills-petabytes": (add_fill(1 << 40, 1 << 10), "needs more memory than its files justify"),
    "takes-for-ever": (add_fill(4000, 4000, after="MatMul"), "model_files.cpu_s_max"),
    "loop": (hold_a_loop, "the operator Loop (node ) runs a graph of its own, which is never allowed"),
    "hidden-graph": (hide_a_graph, "holds a graph of its own, which is never allowed"),
    "function": (bring_a_function, "it has functions, training steps or device settings"),
    "options": (bring_options, "it brings options for ONNX Runtime"),
    "custom-op": (add_node("Backdoor", domain="evil.corp"), "the operator evil.corp:Backdoor (node bad)"),
    "random": (add_node("RandomNormalLike"), "draws random numbers"),
    "long-attribute": (add_node("Gelu", approximate="x" * 5000), "has an attribute of 50"),
    "many-nodes": (
        lambda m, _: m.graph.node.extend([helper.make_node("Neg", ["prior"], [f"n{i}"]) for i in range(40)]),
        "model_files.nodes_max allows 40",
    ),
    "many-elements": (claim_dims(1 << 40, 1 << 40), "has 1.21e+24 elements"),
    "claims-more": (claim_dims(1000), "claims 4000 bytes and has 160; the file is damaged"),
    "negative-axis": (claim_dims(-40), "has an axis of negative size"),
    "many-axes": (claim_dims(*[1] * 9), "has more than 8 axes"),
    "weights-absolute": (place_weights("/etc/passwd"), "/etc/passwd, which is not a relative path"),
    "weights-outside": (place_weights("../../../x"), "../../../x, which is not a relative path"),
    "weights-unlisted": (place_weights("other.bin"), "fp32/other.bin, which bundle.json does not list"),
    "weights-behind-a-link": (place_weights("link.bin"), "behind a link, fp32/link.bin"),
    "weights-beyond": (place_weights("weights.bin", offset="4"), "claims 160 bytes of fp32/weights.bin"),
    "weights-offset": (place_weights("weights.bin", offset="-1"), "claims 160 bytes of fp32/weights.bin"),
    "weights-length": (place_weights("weights.bin", length="161"), "claims 160 bytes of fp32/weights.bin"),
    "weights-injected": (place_weights("weights.bin", basepath="/etc"), "in unknown or repeated words"),
}
"""Name of a model -> what is done to its graph, and what is said about it."""


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """One server over all of them."""
    models = tmp_path_factory.mktemp("models")
    SOUND.write(models)
    for name, (change, _) in HOSTILE.items():
        write_hostile(models, name, change)
    return catalog_of(models)


def test_only_the_sound_one_serves(catalog: Catalog) -> None:
    """However its neighbours try to end the process, a sound bundle is loaded."""
    assert {"sound"} == catalog.serving.keys()
    assert HOSTILE.keys() == {entry.model for entry in catalog.refused}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_graph_is_refused_in_one_sentence(catalog: Catalog, name: str) -> None:
    """The sentence names the file and what is wrong with it."""
    (reason,) = [entry.reason for entry in catalog.refused if entry.model == name]
    assert GRAPH in reason
    assert HOSTILE[name][1] in reason
    assert reason.isprintable()


def test_a_check_that_does_not_end_is_ended(tmp_path: Path) -> None:
    """Whoever takes longer than the wall clock allows is killed, and the next bundle has its turn."""
    write_hostile(tmp_path, "endless", HOSTILE["takes-for-ever"][0])
    SOUND.write(tmp_path)
    catalog = catalog_of(tmp_path, "model_files.cpu_s_max=100", "model_files.wall_s_max=2.0")
    assert {"sound"} == catalog.serving.keys()
    (refused,) = catalog.refused
    assert f"{GRAPH}: its check took longer than 2 s (model_files.wall_s_max)" == refused.reason


def test_an_operator_can_be_allowed_by_configuration(tmp_path: Path) -> None:
    """What ONNX Runtime knows and the table does not is served when the configuration names it."""

    def change(model: onnx.ModelProto, _: Path) -> None:
        model.graph.node[-1].output[0] = "plain"
        model.graph.node.append(helper.make_node("Hardmax", ["features"], ["h"]))
        model.graph.node.append(helper.make_node("NonZero", ["prior"], ["nonzero"]))
        model.graph.node.append(helper.make_node("Identity", ["plain"], ["score"]))

    write_hostile(tmp_path, "tiny", change)
    (refused,) = catalog_of(tmp_path).refused
    assert "the operator NonZero (node ) is not among the allowed operators" in refused.reason
    assert not catalog_of(tmp_path, 'model_files.operators=["NonZero"]').refused


def test_weights_beside_the_graph_are_served(tmp_path: Path) -> None:
    """External data that the manifest lists is a part of the bundle; its hash is checked as any file's."""

    def change(model: onnx.ModelProto, bundle: Path) -> None:
        tensor = next(one for one in model.graph.initializer if one.name == "table")
        data = bytes(tensor.raw_data)
        place_weights("weights.bin", offset="0", length=str(len(data)))(model, bundle)
        (bundle / "fp32/link.bin").unlink()
        (bundle / "fp32/weights.bin").write_bytes(data)

    bundle = write_hostile(tmp_path, "tiny", change)
    assert {"tiny"} == catalog_of(tmp_path).serving.keys()
    (bundle / "fp32/weights.bin").write_bytes(b"\1" * 160)
    (refused,) = catalog_of(tmp_path).refused
    assert "fp32/weights.bin is damaged: its sha256 is not the manifest's" == refused.reason


def test_a_sound_bundle_is_looked_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a state_dir the second start asks no child; another limit or a changed file makes it ask again."""
    models, state = tmp_path / "models", f"state_dir={tmp_path / 'state'}"
    bundle = SOUND.write(models)

    def looks(*settings: str) -> int:
        assert {"sound"} == catalog_of(models, state, "logs.level=info", *settings).serving.keys()
        return capsys.readouterr().err.count('"first sight"')

    assert [1, 0] == [looks(), looks()]
    assert [1, 0] == [looks("model_files.nodes_max=41"), looks("model_files.nodes_max=41")]
    document = json.loads((bundle / manifests.MANIFEST_FILE).read_bytes())
    (bundle / manifests.MANIFEST_FILE).write_text(json.dumps(document | {"created": "later"}))
    assert [1, 0] == [looks(), looks()]
    for kept in (tmp_path / "state").rglob("*"):
        assert not kept.is_file() or "sound/1\n" == kept.read_text()


def test_a_manifest_nested_without_end_is_refused(tmp_path: Path) -> None:
    """JSON that no parser can follow is a sentence as well."""
    bundle = SOUND.write(tmp_path)
    text = (bundle / manifests.MANIFEST_FILE).read_text()
    deep = "[" * 200_000 + "]" * 200_000
    (bundle / manifests.MANIFEST_FILE).write_text(text.replace('"source": {}', f'"source": {{"a": {deep}}}'))
    (refused,) = catalog_of(tmp_path).refused
    assert "bundle.json: nested too deeply; export the model again" == refused.reason


@pytest.mark.parametrize(
    ("status", "in_time", "words"),
    [
        (signal.SIGSEGV, True, "crashed (SIGSEGV)"),
        (signal.SIGABRT, True, "given up by ONNX Runtime (SIGABRT)"),
        (signal.SIGXCPU, True, "more than 120 s of processor time (model_files.cpu_s_max)"),
        (signal.SIGKILL, False, "longer than 300 s (model_files.wall_s_max)"),
        (3 << 8, True, "crashed (exit code 3)"),
    ],
)
def test_every_death_of_a_check_has_words(status: int, in_time: bool, words: str) -> None:
    """Whatever ends the child, the refusal says how."""
    assert words in cause_of_death(int(status), in_time, ModelFiles())


def test_the_child_leaves_no_process(tmp_path: Path) -> None:
    """After a load nothing runs on: this process has the children that it had."""
    SOUND.write(tmp_path)
    before = children()
    catalog_of(tmp_path)
    assert before == children()


def children() -> set[str]:
    """Processes that this one has started and not yet waited for; other tests' servers among them."""
    return {pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()}
