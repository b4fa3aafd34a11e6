"""The float operators in torch, row for row as `ir/optable.py` has them: what can be trained.

`twin(attrs, args)` takes what `evaluate` does: activations with a batch axis in front, constants
without. `tests/search/test_twins.py` holds both against each other. An operator that no network of a
search has is REFUSED.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mcuformer.errors import McuformerError
from mcuformer.ir.function_row import NO_TWIN
from mcuformer.ir.functions import FUNCTIONS, split
from mcuformer.ir.neighbours import seen_by_heads
from mcuformer.ir.optable import FLOAT_OPS

Attrs = Mapping[str, Any]
TorchArgs = Sequence[Tensor | None]
Twin = Callable[[Attrs, TorchArgs], Tensor]


def function(fn: str) -> Callable[[Tensor], Tensor]:
    """What `fn` computes, in torch; McuformerError where its row refuses to."""
    name, numbers = split(fn)
    twin = FUNCTIONS[name].twin
    if twin is None:
        raise McuformerError(f"no training with rounding for the function {fn}")
    return lambda x: twin(F, x, *numbers)


def twin(kind: str) -> Twin:
    """The twin of a float operator; McuformerError where it is refused."""
    found = TWINS[kind]
    if found is None:
        raise McuformerError(f"no training with rounding for {kind}")
    return found


def _need(args: TorchArgs, i: int) -> Tensor:
    value = args[i]
    assert value is not None
    return value


def _optional(args: TorchArgs, i: int) -> Tensor | None:
    return args[i] if i < len(args) else None


def _linear(attrs: Attrs, args: TorchArgs) -> Tensor:
    return _epilogue(attrs, _need(args, 0) @ _need(args, 1), args)


def _conv2d(attrs: Attrs, args: TorchArgs) -> Tensor:
    return _epilogue(attrs, _convolved(attrs, args), args)


def _patch_embed(attrs: Attrs, args: TorchArgs) -> Tensor:
    return _epilogue(attrs, _convolved(attrs, args).flatten(1, 2), args)


def _convolved(attrs: Attrs, args: TorchArgs) -> Tensor:
    top, left, bottom, right = attrs["pads"]
    image = F.pad(_need(args, 0).permute(0, 3, 1, 2), (left, right, top, bottom))
    kernel, strides = _need(args, 1).permute(3, 2, 0, 1), tuple(attrs["strides"])
    y = F.conv2d(image, kernel, stride=strides, groups=attrs.get("group", 1))
    return y.permute(0, 2, 3, 1)


def _epilogue(attrs: Attrs, y: Tensor, args: TorchArgs) -> Tensor:
    """Bias, residual and function behind a weighted sum."""
    b, res, fn = _optional(args, 2), _optional(args, 3), attrs.get("fn")
    y = y if b is None else y + b
    y = y if res is None else y + res
    return y if fn is None else function(fn)(y)


def _layernorm(attrs: Attrs, args: TorchArgs) -> Tensor:
    x, gamma, beta = _need(args, 0), _optional(args, 1), _optional(args, 2)
    groups = attrs["groups"]
    split = x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)
    norm = F.layer_norm if attrs.get("centred", True) else F.rms_norm
    y = norm(split, split.shape[-1:], eps=attrs["eps"]).reshape(x.shape)
    y = y if gamma is None else y * gamma
    return y if beta is None else y + beta


def _attention(attrs: Attrs, args: TorchArgs) -> Tensor:
    heads, windows, bias = attrs["heads"], attrs.get("windows", 1), _optional(args, 3)
    parts = (_need(args, i) for i in range(3))
    split = (x.reshape(*x.shape[:-2], windows, x.shape[-2] // windows, heads, -1) for x in parts)
    q, k, v = (x.transpose(-2, -3) for x in split)  # [..., windows, heads, T, d]
    scores = q @ k.transpose(-2, -1) * attrs["scale"]
    if bias is not None:
        every = len(bias) > heads  # one for every window
        scores = scores + (bias.reshape(windows, heads, *bias.shape[1:]) if every else bias)
    seen = seen_by_heads(attrs, k.shape[-2])
    if seen is not None:
        scores = scores.masked_fill(~torch.from_numpy(seen).to(scores.device), -math.inf)
    return (scores.softmax(dim=-1) @ v).transpose(-2, -3).flatten(-4, -3).flatten(-2)


def _concat(attrs: Attrs, args: TorchArgs) -> Tensor:
    given = [a for a in args if a is not None]
    batch = max(len(a) for a in given if a.ndim == 3)
    return torch.cat([a.expand(batch, *a.shape[-2:]) for a in given], dim=attrs["axis"] - 2)


def _slice(attrs: Attrs, args: TorchArgs) -> Tensor:
    return _need(args, 0).narrow(attrs["axis"] - 2, attrs["start"], attrs["stop"] - attrs["start"])


TWINS: Mapping[str, Twin | None] = {
    "conv2d": _conv2d,
    "linear": _linear,
    "patch_embed": _patch_embed,
    "layernorm": _layernorm,
    "unary": lambda attrs, args: function(attrs["fn"])(_need(args, 0)),
    "add": lambda attrs, args: _need(args, 0) + _need(args, 1),
    "mul": lambda attrs, args: _need(args, 0) * _need(args, 1),
    "max": lambda attrs, args: torch.maximum(_need(args, 0), _need(args, 1)),
    "attention": _attention,
    "concat": _concat,
    "slice": _slice,
    "gather": lambda attrs, args: _need(args, 0)[:, list(attrs["indices"])],
    "reshape": lambda attrs, args: _need(args, 0).reshape(len(_need(args, 0)), *attrs["shape"]),
    "mean": lambda attrs, args: _need(args, 0).mean(dim=-2, keepdim=True),
    "softmax": lambda attrs, args: _need(args, 0).softmax(dim=-1),
    "requant": lambda attrs, args: _need(args, 0),
    "matmul": NO_TWIN,
    "groupnorm": NO_TWIN,
    "rms": NO_TWIN,
    "power": NO_TWIN,
    "argmax": NO_TWIN,
    "maxpool": NO_TWIN,
    "avgpool": NO_TWIN,
    "resize": NO_TWIN,
}
if TWINS.keys() != FLOAT_OPS.keys():
    raise McuformerError(f"no word on training of {sorted(TWINS.keys() ^ FLOAT_OPS.keys())}")
