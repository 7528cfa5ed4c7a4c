"""A graph's file against the table of operators, the limits and the manifest's promises. In the child only.

Nothing here follows a size that a file claims before the file is known to be long enough for it.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from protos.manifest import Input, Manifest, Output
from protos.operators import qualified, why_not
from server.config import ModelFiles
from server.first_sight.onnx_wire import Damaged, Message, Walk
from server.first_sight.tensors import DTYPES, Tensors
from server.first_sight.texts import shown

_AGAIN: Final = "export it again"
_NO_GRAPHS: Final = ("g", "graphs")
_NO_TYPES: Final = ("sparse_tensor", "sparse_tensors", "tp", "type_protos", "ref_attr_name")
_EMBEDDED_OPTIONS: Final = "ort_config"
"""ONNX Runtime can be told to take a session's options from here; a model has none to give."""


class BadGraph(Exception):
    """The graph is not one that this server runs. One sentence that names the file and what to do."""


def check(bundle: Path, path: str, manifest: Manifest, limits: ModelFiles) -> None:
    """Check one graph without running it.

    Args:
        bundle: the bundle's folder; its listed files have their hashes.
        path: the graph's, inside the bundle.

    Raises:
        BadGraph: it breaks a rule.
    """
    file = bundle / path
    try:
        size = file.stat().st_size
        if not 0 < size <= limits.graph_bytes_max:
            raise Damaged(f"it has {size} bytes; model_files.graph_bytes_max allows {limits.graph_bytes_max}")
        with file.open("rb") as stream:
            data = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        _check_model(data, Tensors(bundle, path, manifest, limits), manifest, limits)
    except OSError as error:
        raise BadGraph(f"{path} cannot be read: {error.strerror}") from error
    except Damaged as error:
        sentence = str(error)
        raise BadGraph(f"{path}: {sentence}{'' if ';' in sentence else f'; {_AGAIN}'}") from None


def _check_model(data: memoryview, tensors: Tensors, manifest: Manifest, limits: ModelFiles) -> None:
    walk = tensors.walk
    model = walk.read(data, "Model")
    if model.has("training_info", "functions", "configuration"):
        raise Damaged(f"it has functions, training steps or device settings, which are not served; {_AGAIN}")
    for entry in model.parts("metadata_props"):
        if walk.read(entry, "Entry").text("key") == _EMBEDDED_OPTIONS:
            raise Damaged(f"it brings options for ONNX Runtime ({_EMBEDDED_OPTIONS}); {_AGAIN} without")
    if not model.has("graph"):
        raise Damaged(f"it has no graph; {_AGAIN}")
    graph = walk.read(model.parts("graph")[0], "Graph")
    if graph.has("sparse_initializer", "quantization_annotation"):
        raise Damaged(f"it has sparse tensors or quantisation notes, which are not served; {_AGAIN}")
    nodes = graph.parts("node")
    if len(nodes) > limits.nodes_max:
        raise Damaged(f"it has {len(nodes)} nodes; model_files.nodes_max allows {limits.nodes_max}")
    used = {_check_node(walk.read(node, "Node"), tensors, limits) for node in nodes}
    _check_domains(walk, model, used)
    constants = {tensors.check(part) for part in graph.parts("initializer")}
    _check_values(walk, "input", graph.parts("input"), manifest.inputs, constants)
    _check_values(walk, "output", graph.parts("output"), manifest.outputs, set())


def _check_domains(walk: Walk, model: Message, used: set[str]) -> None:
    """Exporters list domains that they do not use; what is used was looked at by node."""
    for part in model.parts("opset_import"):
        domain = walk.read(part, "OperatorSet").text("domain")
        if domain not in used and domain not in ("", "ai.onnx", "com.microsoft") and not _harmless(domain):
            raise Damaged(f"it imports operators of the domain {shown(domain)}, which is not served")


def _harmless(domain: str) -> bool:
    """ONNX Runtime's own optimiser and torch's exporter name these without need."""
    return domain.startswith(("com.ms.", "ai.onnx.", "com.microsoft.", "org.pytorch.", "pkg."))


def _check_node(node: Message, tensors: Tensors, limits: ModelFiles) -> str:
    """Check one node; return its domain."""
    domain, kind = node.text("domain"), node.text("op_type")
    name = f"the operator {shown(qualified(domain, kind))} (node {shown(node.text('name'))})"
    reason = why_not(domain, kind, limits.operators)
    if reason is not None:
        hint = "" if "never" in reason else ", or, if you trust it, name it in model_files.operators"
        raise Damaged(f"{name} {reason}{hint}")
    if node.has("overload", "device_configurations"):
        raise Damaged(f"{name} names an overload or a device, which is not served; {_AGAIN}")
    for part in node.parts("attribute"):
        attribute = tensors.walk.read(part, "Attribute")
        if attribute.has(*_NO_GRAPHS):
            raise Damaged(f"{name} holds a graph of its own, which is never allowed")
        if attribute.has(*_NO_TYPES):
            raise Damaged(f"{name} holds a sparse tensor, type or reference, which is not served; {_AGAIN}")
        inner = [*attribute.parts("t"), *attribute.parts("tensors")]
        size = len(part) - sum(map(len, inner))
        if size > limits.attribute_bytes_max:
            raise Damaged(
                f"{name} has an attribute of {size} bytes; model_files.attribute_bytes_max allows "
                f"{limits.attribute_bytes_max}"
            )
        for tensor in inner:
            tensors.check(tensor)
    return domain


def _check_values(
    walk: Walk,
    kind: str,
    parts: Sequence[memoryview],
    promised: Sequence[Input | Output],
    constants: set[str],
) -> None:
    values = [walk.read(part, "Value") for part in parts]
    given = {value.text("name"): value for value in values if value.text("name") not in constants}
    wanted: Mapping[str, Input | Output] = {entry.name: entry for entry in promised}
    # Outputs that nobody reads are no harm; inputs that nobody feeds are.
    odd = wanted.keys() - given.keys() if kind == "output" else wanted.keys() ^ given.keys()
    if odd:
        names = ", ".join(sorted(map(shown, odd)))
        if kind == "output":
            raise Damaged(f"the graph has no output {names}, which bundle.json promises; {_AGAIN}")
        raise Damaged(f"the graph's inputs and the manifest's differ in {names}; {_AGAIN}")
    for name, entry in wanted.items():
        _check_value(walk, f"the {kind} {shown(name)}", given[name], entry)


def _check_value(walk: Walk, name: str, value: Message, entry: Input | Output) -> None:
    types = [walk.read(part, "Type") for part in value.parts("type")]
    tensor = [walk.read(part, "TensorType") for one in types for part in one.parts("tensor_type")]
    if not tensor or tensor[0].number("elem_type") != DTYPES.get(entry.dtype):
        raise Damaged(f"{name} is not {entry.dtype}, which bundle.json promises; {_AGAIN}")
    for part in tensor[0].parts("shape"):
        axes = [walk.read(axis, "Dimension") for axis in walk.read(part, "Shape").parts("dim")]
        if len(axes) != len(entry.shape):
            raise Damaged(f"{name} has {len(axes)} axes where bundle.json has {len(entry.shape)}; {_AGAIN}")
        for axis, size in zip(axes, entry.shape, strict=True):
            if isinstance(size, int) and axis.has("dim_value") and axis.number("dim_value") != size:
                raise Damaged(
                    f"{name} has an axis of {axis.number('dim_value')} where bundle.json has {size}; {_AGAIN}"
                )
