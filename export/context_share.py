"""How much of a run is the context side: decides whether splitting a request's candidates over runs is cheap.

A chunked request computes its context once per chunk, so a model is chunkable only when that is a small part.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from export.ancestors import ancestors_of
from export.gates.evidence import Evidence, Subject
from export.gates.speed import feeds_of, interleaved
from export.runtime import Runner

SHARE_MAX = 0.1
"""Of a run with 1 context and 200 candidates."""


def measure(evidence: Evidence, subject: Subject) -> float:
    """Time of the context side over the time of a whole run, at R = 1, N = 200."""
    part = context_side(subject.model, evidence.codec.context_names)
    if part is None:
        return 0.0
    feeds = feeds_of(evidence, 1, 200)
    runner = Runner(part)
    inputs = {entry.name: feeds[entry.name] for entry in part.graph.input}
    times = interleaved({"context": lambda: runner.run(inputs), "whole": lambda: subject.runner.run(feeds)})
    return times["context"] / times["whole"]


def context_side(model: onnx.ModelProto, context_names: Sequence[str]) -> onnx.ModelProto | None:
    """The part of the graph that depends on the context alone; its outputs are what the rest reads of it.

    Returns:
        None when nothing is computed there.
    """
    ancestors = ancestors_of(model)
    made = {
        name
        for node in model.graph.node
        for name in node.output
        if ancestors[name] and ancestors[name] <= set(context_names)
    }
    read = {name for node in model.graph.node if made.isdisjoint(node.output) for name in node.input}
    states = made & read
    wanted = set(states)
    nodes: list[onnx.NodeProto] = []
    for node in reversed(model.graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            nodes.insert(0, node)
    if not nodes:
        return None
    part = onnx.ModelProto()
    part.CopyFrom(model)
    del part.graph.node[:]
    part.graph.node.extend(nodes)
    for values in (part.graph.input, part.graph.initializer):
        kept = [value for value in values if value.name in wanted]
        copies = [type(value).FromString(value.SerializeToString()) for value in kept]
        del values[:]
        values.extend(copies)
    del part.graph.output[:]
    del part.graph.value_info[:]
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(states))
    return part
