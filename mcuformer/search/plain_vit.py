"""A vision transformer in an ONNX file as a `Network`, to be adapted.

It is read from the canonical float graph, so exporters' spellings do not matter (`vit_outline.py`); whether what was
read is the file's function is then asked of numbers. Batch norms are folded there, so a stem of convolutions has biases
in their place, and no statistics that training would take anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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
from mcuformer.search.arch import Arch, Ranks
from mcuformer.search.architecture import PATCH
from mcuformer.search.net import Block, LowRank, Network
from mcuformer.search.stem import folded_convolutions
from mcuformer.search.vit_outline import BlockOps, VitOutline, vit_outline

_FORM = (
    "an ONNX base is a plain ViT: a convolution of patches, or 3x3 ones with ReLU between them; positions, pre-norm "
    "blocks of attention and a GELU MLP, a norm, then the class token or the mean of the tokens, a head; others come "
    "as folders of train or search"
)
_CLOSE = 1e-3  # of the largest logit


@dataclass(frozen=True, slots=True, eq=False)
class PlainVit:
    """A network, and the metadata of its file."""

    network: Network
    notes: dict[str, str]


def read_plain_vit(path: Path) -> PlainVit:
    """UsageError where the file is another kind of network."""
    graph = load_model(path, {})
    outline = vit_outline(graph)
    if outline is None:
        raise UsageError(f"{path} is no plain ViT", _FORM)
    arch = _arch(graph, outline, path)
    network = Network(arch).eval()
    if arch.stem != PATCH:
        network.stem = folded_convolutions(arch).eval()
    with torch.no_grad():
        _fill(network, graph, outline)
        _refuse_others(network, graph, path)
    return PlainVit(network, dict(graph.meta.get("metadata_props", {})))


def _arch(graph: Graph, outline: VitOutline, path: Path) -> Arch:
    block = outline.blocks[0]
    heads, inner = int(block.attention.attrs["heads"]), _width(graph, block.qkv[-1])
    if len(graph.inputs) != 1 or len(block.attention.inputs) != 3:
        raise UsageError(f"{path} has several inputs, or a bias on its scores", _FORM)
    height, width, channels = graph.type(graph.inputs[0]).shape
    stem, patch = _stem(graph, outline, path)
    arch = Arch(
        image=(height, width, channels),
        classes=_width(graph, outline.head),
        stem=stem,
        patch=patch,
        pool="cls" if outline.token else "mean",
        relative=False,
        dim=_width(graph, outline.convolutions[-1]),
        heads=heads,
        head_dim=inner // heads,
        hidden=tuple(_width(graph, b.fc1[-1]) for b in outline.blocks),
    )
    if stem == PATCH and tuple(outline.convolutions[0].attrs["pads"]) != (0, 0, *arch.padding):
        raise UsageError(f"{path} has no patch embedding", _FORM)
    return _with_ranks(arch, [_ranks(graph, b) for b in outline.blocks], path)


def _stem(graph: Graph, outline: VitOutline, path: Path) -> tuple[str, int]:
    """As `Architecture` writes it, and the side of a patch."""
    strides = []
    for op in outline.convolutions:
        down, across = op.attrs["strides"]
        if op.attrs["group"] != 1 or down != across:
            raise UsageError(f"{path}: {op.name} has groups, or two strides", _FORM)
        strides.append(int(down))
    kernels = [graph.type(str(op.inputs[1])).shape[:2] for op in outline.convolutions]
    if len(kernels) == 1:
        if kernels[0] != (strides[0], strides[0]):
            raise UsageError(f"{path} has no patch embedding", _FORM)
        return PATCH, strides[0]
    for op, kernel, stride in zip(outline.convolutions, kernels, strides, strict=True):
        if kernel != (3, 3) or tuple(op.attrs["pads"]) != (1, 1, 1, 1) or stride > 3:
            raise UsageError(f"{path}: {op.name} is no convolution of 3x3 with a border", _FORM)
    if any(op.attrs["fn"] != "relu" for op in outline.between):
        raise UsageError(f"{path} has something else than ReLU in its stem", _FORM)
    widths = (_width(graph, op) for op in outline.convolutions[:-1])
    body = [f"{n}/{s}" if s > 1 else str(n) for n, s in zip(widths, strides, strict=False)]
    return "-".join(body), math.prod(strides)


def _ranks(graph: Graph, block: BlockOps) -> Ranks:
    """What the factors of each layer have between them."""
    shared = (block.qkv[:1] + block.qkv[-1:]) if len(block.qkv) == 4 else block.qkv[:1]
    layers = (shared, block.proj, block.fc1, block.fc2)
    return Ranks(*(_width(graph, ops[0]) if len(ops) == 2 else 0 for ops in layers))


def _with_ranks(arch: Arch, found: Sequence[Ranks], path: Path) -> Arch:
    """A rank of an Arch is a ratio, one for all blocks."""
    r, e, q = found[0], arch.dim, arch.inner
    arch = replace(
        arch,
        rank_qkv=_ratio(r.qkv, 3 * q, e),
        rank_proj=_ratio(r.proj, e, q),
        rank_fc1=_ratio(r.fc1, arch.hidden[0], e),
        rank_fc2=_ratio(r.fc2, e, arch.hidden[0]),
    )
    if list(found) != [arch.ranks(i) for i in range(arch.depth)]:
        raise UsageError(f"{path} has factors of other ranks than a search makes", _FORM)
    return arch


def _ratio(rank: int, n: int, k: int) -> float:
    return rank / min(n, k) if rank else 1.0


def _fill(network: Network, graph: Graph, outline: VitOutline) -> None:
    chain = [m for m in network.stem.modules() if isinstance(m, nn.Conv2d)]
    for conv, op in zip(chain, outline.convolutions, strict=True):
        kernel, bias = _constants(graph, op)
        conv.weight.copy_(_tensor(kernel.transpose(3, 2, 0, 1)))
        cast(torch.Tensor, conv.bias).copy_(_tensor(bias))
    patches = network.position[:, -math.prod(network.arch.grid) :]
    for name in outline.positions.inputs:
        if (data := graph.const(name)) is not None:
            patches.copy_(_tensor(data)[None])
    if outline.token is not None and network.cls is not None:
        data = graph.const(outline.token.inputs[0])
        if data is not None:
            network.cls.copy_(_tensor(data)[None])
    for block, ops in zip(cast("Iterator[Block]", network.blocks), outline.blocks, strict=True):
        _fill_block(block, graph, ops)
    _fill_norm(network.norm, graph, outline.norm)
    _fill_linear(network.head, [_constants(graph, outline.head)])


def _fill_block(block: Block, graph: Graph, ops: BlockOps) -> None:
    _fill_norm(block.norm1, graph, ops.norm1)
    _fill_norm(block.norm2, graph, ops.norm2)
    block.attn.scale = float(ops.attention.attrs["scale"])
    weights, biases = zip(*(_constants(graph, op) for op in ops.qkv[-3:]), strict=True)
    joined = np.concatenate(weights, axis=1), np.concatenate(biases)
    _fill_linear(block.attn.qkv, [*(_constants(graph, op) for op in ops.qkv[:-3]), joined])
    layers = (block.attn.proj, ops.proj), (block.fc1, ops.fc1), (block.fc2, ops.fc2)
    for layer, factors in layers:
        _fill_linear(layer, [_constants(graph, op) for op in factors])


def _fill_norm(norm: nn.LayerNorm, graph: Graph, op: Op) -> None:
    norm.eps = float(op.attrs["eps"])
    for parameter, name in zip((norm.weight, norm.bias), op.inputs[1:], strict=False):
        data = graph.const(name)
        if data is not None:
            parameter.copy_(_tensor(data))


def _fill_linear(layer: nn.Module, factors: Sequence[tuple[NDArray, NDArray]]) -> None:
    """A bias of the first factor becomes one of the second."""
    weight, bias = factors[-1]
    plain = cast(nn.Linear, layer)
    if isinstance(layer, LowRank):
        (first, offset), plain = factors[0], cast(nn.Linear, layer.up)
        cast(nn.Linear, layer.down).weight.copy_(_tensor(first.T))
        bias = bias + offset @ weight
    plain.weight.copy_(_tensor(weight.T))
    plain.bias.copy_(_tensor(bias))


def _width(graph: Graph, op: Op) -> int:
    return graph.type(op.outputs[0]).shape[-1]


def _constants(graph: Graph, op: Op) -> tuple[NDArray, NDArray]:
    weight = graph.const(op.inputs[1])
    bias = graph.const(op.inputs[2]) if len(op.inputs) > 2 else None
    assert weight is not None
    return weight, np.zeros(weight.shape[-1]) if bias is None else bias


def _tensor(data: NDArray) -> torch.Tensor:
    return torch.from_numpy(np.array(data, np.float32, order="C"))


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
