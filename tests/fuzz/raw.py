"""A draw of raw nodes, as exporters write them: any operator behind any other, of any opset from 11 on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

from fuzz import raw_elementwise as elementwise
from fuzz import raw_layers as layers
from fuzz import raw_moves as moves
from fuzz.choices import Choices
from fuzz.draws import SAMPLES, Drawn
from fuzz.graph import Shape, TooLarge
from fuzz.modes import Modes, draw_modes
from fuzz.raw_graph import Raw

MOST_OPERATORS = 9
SAMPLES_JUDGED = 32
OLDEST, NEWEST = 11, onnx.defs.onnx_opset_version()
Make = Callable[[Raw, str], str]

WAYS: tuple[Make, ...] = (
    elementwise.function, elementwise.function, elementwise.function, elementwise.positive,
    elementwise.inside, elementwise.constant, elementwise.constant, elementwise.constant,
    elementwise.clip, elementwise.prelu, elementwise.pair, elementwise.pair, elementwise.pair,
    elementwise.where, elementwise.branches, elementwise.gelu, elementwise.silu,
    moves.transpose, moves.transpose, moves.reshape, moves.reshape, moves.flatten, moves.squeeze,
    moves.cut, moves.cut, moves.split, moves.split, moves.join, moves.join, moves.gather,
    moves.gather_elements, moves.scatter_elements, moves.trilu,
    moves.tile, moves.pad, moves.blocks, moves.shuffle, moves.resize,
    moves.nhwc, moves.roll,
    layers.matmul, layers.matmul, layers.matmul, layers.product, layers.einsum, layers.gemm,
    layers.conv, layers.conv, layers.conv, layers.conv_transpose, layers.batchnorm, layers.norm,
    layers.norm, layers.spelled_norm, layers.unit_length, layers.reduction, layers.reduction,
    layers.pool, layers.softmax, layers.largest, layers.attention, layers.attention,
    layers.attention_node,
)  # fmt: skip


def draw_raw(choices: Choices) -> Drawn:
    """The same for the same choices."""
    choices.block()
    modes = Modes() if choices.chance(70) else draw_modes(choices)
    r = Raw(choices, choices.number(0, NEWEST - OLDEST) + OLDEST)
    scale, more = _inputs(r), _more_outputs(r)
    model = r.model(_outputs(r, _operators(r), more))
    rng = np.random.default_rng(len(choices.made))
    drawn = [
        {n: (rng.normal(size=(k, *r.shapes[n][1:])) * scale).astype(np.float32) for n in r.inputs}
        for k in (SAMPLES, SAMPLES_JUDGED)
    ]
    return Drawn(choices.made, model, modes, *drawn)


def _inputs(r: Raw) -> float:
    """One or two of two to four axes; the scale of their numbers."""
    r.choices.block()
    for i in range(r.one_of((1, 1, 1, 2))):
        rank = r.one_of((3, 4, 3, 4, 2))
        shape: Shape = (1, *(r.number(1, 12) for _ in range(rank - 1)))
        if rank == 4:
            shape = (1, r.number(1, 8), r.number(1, 14), r.number(1, 14))
        r.inputs.append(f"x{i}")
        r.shapes[f"x{i}"] = shape
    return r.one_of((1.0, 0.5, 2.0))


def _operators(r: Raw) -> str:
    """The last value that was made; there is one at least."""
    last = ""
    for _ in range(r.choices.more(MOST_OPERATORS)):
        r.choices.block()
        last = _operator(r) or last
    if not last or last in r.inputs:
        x = r.inputs[0]
        last = r.node("MatMul", [x, r.normal(r.shapes[x][-1], 4)])
    return last


def _operator(r: Raw) -> str | None:
    try:
        return r.one_of(WAYS)(r, r.pick())
    except (TooLarge, IndexError, ValueError):  # it does not fit the value
        return None


def _more_outputs(r: Raw) -> list[int]:
    """Beside the last value: which ones, in per cent of all that there will be."""
    r.choices.block()
    return [r.number(0, 99) for _ in range(r.one_of((0, 0, 0, 1, 2)))]


def _outputs(r: Raw, last: str, more: list[int]) -> list[str]:
    """The last value and others, read or not."""
    made = [n for n in r.shapes if n not in r.inputs and n != last]
    return [last, *(made.pop(len(made) * percent // 100) for percent in more if made)]
