"""While a model is traced, `nn.MultiheadAttention` computes in the textbook's form.

PyTorch's own form packs the three projections into one product, puts the sequence first and folds heads
into the batch: as traced, a dozen views that no pass of `export.transformer` knows. So its modules are traced
with another `forward`, which has three projections and `scaled_dot_product_attention` over [N, heads, S, d],
and the same parameters. That it scores the same is `parity`'s to say: its reference never sees this.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

_PARTS = ("podium_query", "podium_key", "podium_value")


@contextmanager
def unpacked(module: nn.Module) -> Iterator[None]:
    """Give every `nn.MultiheadAttention` inside that has one packed projection the textbook's form."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one opaque operator per layer
    changed = [one for one in module.modules() if isinstance(one, nn.MultiheadAttention) and _is_plain(one)]
    try:
        for one in changed:
            _split(one)
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for one in changed:
            one.__dict__.pop("forward", None)
            for name in _PARTS:
                one._modules.pop(name, None)


def _is_plain(module: nn.MultiheadAttention) -> bool:
    return (
        type(module).forward is nn.MultiheadAttention.forward
        and "forward" not in module.__dict__
        and module._qkv_same_embed_dim
        and module.bias_k is None
        and not module.add_zero_attn
    )


def _split(module: nn.MultiheadAttention) -> None:
    weights = module.in_proj_weight.detach().chunk(3)
    biases = (None,) * 3 if module.in_proj_bias is None else module.in_proj_bias.detach().chunk(3)
    for name, weight, bias in zip(_PARTS, weights, biases, strict=True):
        linear = nn.Linear(module.embed_dim, module.embed_dim, bias=bias is not None, device="meta")
        linear.weight = nn.Parameter(weight, requires_grad=False)
        if bias is not None:
            linear.bias = nn.Parameter(bias, requires_grad=False)
        module.add_module(name, linear)
    module.forward = lambda *args, **kwargs: _attend(module, *args, **kwargs)


def _attend(
    module: nn.MultiheadAttention,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """As `nn.MultiheadAttention.forward`; `is_causal` is a hint beside `attn_mask` there, too."""
    del is_causal
    single = query.dim() == 2
    if single:
        query, key, value = (x.unsqueeze(0) for x in (query, key, value))
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    elif not module.batch_first:
        query, key, value = (x.transpose(0, 1) for x in (query, key, value))
    heads, width = module.num_heads, module.head_dim
    q, k, v = (
        getattr(module, name)(x).unflatten(-1, (heads, width)).transpose(1, 2)
        for name, x in zip(_PARTS, (query, key, value), strict=True)
    )
    mask = _mask(key_padding_mask, attn_mask, heads, query)
    merged = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)
    output = module.out_proj(merged)
    if single:
        output = output.squeeze(0)
    elif not module.batch_first:
        output = output.transpose(0, 1)
    if not need_weights:
        return output, None
    scores = q @ k.transpose(2, 3) / width**0.5
    weights = torch.softmax(scores if mask is None else scores + mask, -1)
    weights = weights.mean(1) if average_attn_weights else weights
    return output, weights.squeeze(0) if single else weights


def _mask(padding: Tensor | None, mask: Tensor | None, heads: int, like: Tensor) -> Tensor | None:
    """Both as one that is added to the scores, [N or 1, heads or 1, S or 1, S]."""
    masks = []
    if padding is not None:
        masks.append(_added(padding, like)[:, None, None, :])
    if mask is not None:
        added = _added(mask, like)
        masks.append(added[None, None] if mask.dim() == 2 else added.unflatten(0, (-1, heads)))
    return None if not masks else masks[0] if len(masks) == 1 else masks[0] + masks[1]


def _added(mask: Tensor, like: Tensor) -> Tensor:
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, dtype=like.dtype).masked_fill(mask, float("-inf"))
