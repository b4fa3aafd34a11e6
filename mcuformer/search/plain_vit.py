"""A vision transformer in an ONNX file as a `Network`, to be adapted: one of patches and mean pooling.

It is read from the canonical float graph, so exporters' spellings do not matter; whether what was read is the
file's function is then asked of numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mcuformer.errors import UsageError
from mcuformer.frontend.load import load_model
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.interp_float import eval_steps
from mcuformer.search.arch import Arch
from mcuformer.search.architecture import PATCH
from mcuformer.search.net import Block, Network

_FORM = (
    "an ONNX base is a plain ViT: one convolution of patches, positions, pre-norm blocks of attention and a GELU "
    "MLP, a norm, the mean of the tokens, a head; others come as folders of train or search"
)
_BLOCK = (
    "layernorm", "linear", "linear", "linear", "attention", "linear", "add",
    "layernorm", "linear", "unary", "linear", "add",
)  # fmt: skip
_HEAD, _TAIL = ("conv2d", "reshape", "add"), ("layernorm", "mean", "linear")
_CLOSE = 1e-3  # of the largest logit


@dataclass(frozen=True, slots=True, eq=False)
class PlainVit:
    """A network, and the metadata of its file."""

    network: Network
    notes: dict[str, str]


def read_plain_vit(path: Path) -> PlainVit:
    """UsageError where the file is another kind of network."""
    graph = load_model(path, {})
    kinds = tuple(op.kind for op in graph.ops)
    count, rest = divmod(len(kinds) - len(_HEAD) - len(_TAIL), len(_BLOCK))
    if rest or count < 1 or kinds != (*_HEAD, *(_BLOCK * count), *_TAIL):
        raise UsageError(f"{path} is no plain ViT", _FORM)
    parts = [
        graph.ops[3 + i : 3 + i + len(_BLOCK)] for i in range(0, count * len(_BLOCK), len(_BLOCK))
    ]
    network = Network(_arch(graph, parts, path)).eval()
    with torch.no_grad():
        _fill(network, graph, parts)
        _refuse_others(network, graph, path)
    return PlainVit(network, dict(graph.meta.get("metadata_props", {})))


def _arch(graph: Graph, parts: Sequence[Sequence[Op]], path: Path) -> Arch:
    stem, attention = graph.ops[0], parts[0][4]
    down, across, channels, dim = graph.type(str(stem.inputs[1])).shape
    strides, pads = tuple(stem.attrs["strides"]), tuple(stem.attrs["pads"])
    heads, inner = int(attention.attrs["heads"]), graph.type(str(attention.inputs[0])).shape[-1]
    if (down, across) != strides or down != across or any(pads) or stem.attrs["group"] != 1:
        raise UsageError(f"{path} has no patch embedding", _FORM)
    if len(graph.inputs) != 1 or len(attention.inputs) != 3:
        raise UsageError(f"{path} has several inputs, or a bias on its scores", _FORM)
    height, width, _ = graph.type(graph.inputs[0]).shape
    return Arch(
        image=(height, width, channels),
        classes=graph.type(graph.outputs[0]).shape[-1],
        stem=PATCH,
        patch=down,
        pool="mean",
        relative=False,
        dim=dim,
        heads=heads,
        head_dim=inner // heads,
        hidden=tuple(graph.type(p[8].outputs[0]).shape[-1] for p in parts),
    )


def _fill(network: Network, graph: Graph, parts: Sequence[Sequence[Op]]) -> None:
    stem, _, positions = graph.ops[:3]
    conv = cast(nn.Conv2d, network.stem)
    kernel, bias = _constants(graph, stem)
    conv.weight.copy_(_tensor(kernel.transpose(3, 2, 0, 1)))
    cast(torch.Tensor, conv.bias).copy_(_tensor(bias))
    for name in positions.inputs:
        if (data := graph.const(name)) is not None:
            network.position.copy_(_tensor(data)[None])
    for block, ops in zip(cast("Iterator[Block]", network.blocks), parts, strict=True):
        _fill_block(block, graph, ops)
    norm, _, head = graph.ops[-3:]
    _fill_norm(network.norm, graph, norm)
    _fill_linear(network.head, *_constants(graph, head))


def _fill_block(block: Block, graph: Graph, ops: Sequence[Op]) -> None:
    norm1, q, k, v, attention, proj, _, norm2, fc1, _, fc2, _ = ops
    _fill_norm(block.norm1, graph, norm1)
    _fill_norm(block.norm2, graph, norm2)
    parts = [_constants(graph, op) for op in (q, k, v)]
    factor = attention.attrs["scale"] / block.attn.scale
    parts[0] = parts[0][0] * factor, parts[0][1] * factor
    weights, biases = zip(*parts, strict=True)
    _fill_linear(block.attn.qkv, np.concatenate(weights, axis=1), np.concatenate(biases))
    for layer, op in ((block.attn.proj, proj), (block.fc1, fc1), (block.fc2, fc2)):
        _fill_linear(layer, *_constants(graph, op))


def _fill_norm(norm: nn.LayerNorm, graph: Graph, op: Op) -> None:
    norm.eps = float(op.attrs["eps"])
    for parameter, name in zip((norm.weight, norm.bias), op.inputs[1:], strict=False):
        data = graph.const(name)
        if data is not None:
            parameter.copy_(_tensor(data))


def _fill_linear(layer: nn.Module, weight: NDArray, bias: NDArray) -> None:
    plain = cast(nn.Linear, layer)
    plain.weight.copy_(_tensor(weight.T))
    plain.bias.copy_(_tensor(bias))


def _constants(graph: Graph, op: Op) -> tuple[NDArray, NDArray]:
    weight = graph.const(op.inputs[1])
    bias = graph.const(op.inputs[2]) if len(op.inputs) > 2 else None
    assert weight is not None
    return weight, np.zeros(weight.shape[-1]) if bias is None else bias


def _tensor(data: NDArray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(data, np.float32))


def _refuse_others(network: Network, graph: Graph, path: Path) -> None:
    """Equal kinds may hide another wiring."""
    height, width, channels = network.arch.image
    x = np.random.default_rng(0).normal(size=(2, height, width, channels)).astype(np.float32)
    found = network(_tensor(x.transpose(0, 3, 1, 2))).numpy()
    wanted = found
    for op, env in eval_steps(graph, [x]):
        wanted = env[op.outputs[0]]
    if np.abs(found - wanted.reshape(found.shape)).max() > _CLOSE * np.abs(wanted).max():
        raise UsageError(f"{path} computes something else than a plain ViT of its layers", _FORM)
