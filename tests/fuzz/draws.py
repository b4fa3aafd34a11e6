"""One draw: a model, its samples and its modes. Every canonical operator has its ways to be drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from fuzz import attention, blocks, branches, images, layers, modulation, moves
from fuzz.choices import Blocks, Choices
from fuzz.graph import Draw, Shape, TooLarge, small
from fuzz.modes import Modes, draw_modes
from mcuformer.ir.optable import CANONICAL

MOST_OPERATORS = 12
SAMPLES = 48
Make = Callable[[Draw, str], str | None]


class Ways(NamedTuple):
    """Of drawing an operator on tokens and on images."""

    tokens: tuple[Make, ...] = ()
    images: tuple[Make, ...] = ()


_JOINED = Ways((layers.both, layers.constant, layers.gate), (layers.both, layers.constant))
WAYS: Mapping[str, Ways] = {
    "conv2d": Ways((images.token_conv, images.row_conv), (
        images.conv, images.depthwise, images.grouped, images.normed, images.residual,
        images.patches, images.dilated, images.transposed, blocks.inverted, blocks.excited, blocks.squeezed)),
    "linear": Ways((layers.linear, layers.mlp, layers.mixer, layers.flat_linear), (moves.tokens,)),
    "layernorm": Ways((layers.layernorm, layers.head_norm, layers.spelled_norm, layers.l2_norm),
                      (images.channel_norm,)),
    "groupnorm": Ways((), (images.group_norm,)),
    "rms": Ways((), (images.response_norm, images.by_deviation)),
    "power": Ways((layers.quotient,), (images.response_norm,)),
    "unary": Ways((layers.function,), (layers.function,)),
    "add": _JOINED,
    "max": _JOINED,
    "mul": Ways((layers.gate, layers.constant), (layers.gate, layers.constant)),
    "attention": Ways((attention.self_attention, attention.cross_attention, attention.windows,
                       attention.windows, attention.windows, attention.windows, attention.reduced, attention.pooled,
                       attention.near, attention.near)),
    "matmul": Ways((attention.product, attention.product, attention.einsum)),
    "concat": Ways((moves.join, moves.one_row), (moves.join, moves.merged)),
    "slice": Ways((moves.cut, moves.halves), (moves.cut, moves.halves)),
    "gather": Ways((moves.gather, moves.gather_nd, moves.repeated, moves.roll), (moves.larger, moves.space_to_depth)),
    "reshape": Ways((moves.reshape, moves.image, moves.axes), (moves.tokens, moves.padded)),
    "mean": Ways((layers.mean, modulation.modulation), (images.whole_pool,)),
    "softmax": Ways((layers.softmax,)),
    "argmax": Ways((layers.argmax,)),
    "maxpool": Ways((layers.largest_token,), (images.maxpool,)),
    "avgpool": Ways((), (images.avgpool,)),
    "resize": Ways((), (images.resized, images.resized, branches.branches)),
}  # fmt: skip
"""Canonical operator -> how it is drawn. A row of the table without a way fails below."""

_UNDRAWN = sorted(CANONICAL.keys() - WAYS.keys())
if _UNDRAWN:
    raise LookupError(f"operators that are never drawn: {', '.join(_UNDRAWN)}")

_OFFERED = list(dict.fromkeys(WAYS.values()))  # rows that share their ways are one choice


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """`blocks` give the same draw again; `calibration` and `samples`: [n, *shape] by input."""

    blocks: Blocks
    model: onnx.ModelProto
    modes: Modes
    calibration: Mapping[str, NDArray[np.float32]]
    samples: Mapping[str, NDArray[np.float32]]


def draw(choices: Choices) -> Drawn:
    """The same for the same choices."""
    choices.block()
    modes = draw_modes(choices)
    d = Draw(choices)
    scale, more = _inputs(d), _more_outputs(d)
    model = d.model(_outputs(d, _operators(d), more))
    rng = np.random.default_rng(len(choices.made))
    count = _evaluated(model)
    drawn = [
        {n: (rng.normal(size=(k, *d.shapes[n][1:])) * scale).astype(np.float32) for n in d.inputs}
        for k in (SAMPLES, count)
    ]
    return Drawn(choices.made, model, modes, *drawn)


def _inputs(d: Draw) -> float:
    """One to three; the scale of their numbers."""
    d.choices.block()
    count = d.one_of((1, 1, 1, 1, 2, 3))
    kinds = [d.chance(50) for _ in range(count)]
    for i, is_image in enumerate(kinds):
        shape: Shape = (1, d.number(1, 70), d.number(1, 70))
        if is_image:
            h, w = d.number(1, 20), d.number(1, 20)
            shape = (1, d.number(1, 4 if d.chance(60) else 8000 // (h * w) % 71 or 1), h, w)
        d.inputs.append(f"x{i}")
        d.shapes[f"x{i}"] = shape
    return d.one_of((1.0, 0.3, 3.0))


def _operators(d: Draw) -> str:
    """The last value that was made."""
    last = None
    for _ in range(d.choices.more(MOST_OPERATORS)):
        d.choices.block()
        last = _operator(d) or last
    if last is None or all(n.op_type in _MOVES for n in d.nodes):
        x = d.pick(3)
        last = layers.linear(d, x or moves.tokens(d, str(d.pick(4))))
    return last


_MOVES = ("Slice", "Reshape", "Split", "Transpose", "Concat", "Gather", "SpaceToDepth",
          "DepthToSpace", "Resize", "Pad")  # fmt: skip


def _operator(d: Draw) -> str | None:
    ways = d.one_of(_OFFERED)
    offered = [(3, w) for w in ways.tokens] + [(4, w) for w in ways.images]
    rank, make = d.one_of(offered)
    x = d.pick(rank, lambda s: small(*s))
    if x is None and rank == 3:
        image = d.pick(4)
        x = moves.tokens(d, image) if image else None
    elif x is None:
        found = d.pick(3)
        x = moves.image(d, found) if found else None
    try:
        made = None if x is None else make(d, x)
        if made in d.shapes and made not in d.inputs and d.chance(25):  # as behind a layer
            made = layers.function(d, made)
    except TooLarge:
        return None
    return None if made in d.inputs else made


def _more_outputs(d: Draw) -> list[int]:
    """Beside the last value: which ones, in per cent of all that there will be."""
    d.choices.block()
    return [d.number(0, 99) for _ in range(d.one_of((0, 0, 0, 1, 2)))]


def _outputs(d: Draw, last: str, more: list[int]) -> list[str]:
    """The last value, all ends, and others, whether somebody reads them or not."""
    made = [n for n in d.shapes if n not in d.inputs and n != last]
    found = [last, *(n for n in d.ends if n != last)]
    found += [made.pop(len(made) * percent // 100) for percent in more if made]
    return found


def _evaluated(model: onnx.ModelProto) -> int:
    """Samples, so that there are numbers enough to tell 2 dB from luck."""
    sizes = [
        np.prod([x.dim_value for x in o.type.tensor_type.shape.dim]) for o in model.graph.output
    ]
    return int(np.clip(4000 // min(sizes), 24, 400))
