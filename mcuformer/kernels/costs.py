"""What the compiler makes of the kernels' C costs on a core: tables fitted to executed instructions.

The hot loops (matrix products, attention, LayerNorm, softmax) are written in assembly for cores with
the DSP instructions, which all execute the same: their formulas stand beside the kernels and count for
every core. A cost set has what differs. `mcuformer/targets/cores.py` names one per core.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

ByType = tuple[float, float, float]  # all int8, all int16, mixed types


@dataclass(frozen=True, slots=True)
class LoopCost:
    """Instructions of a loop in assembly: a channel, a row, each of the last channels % 4, a channel of
    a call."""

    each: float
    row: int
    rest: int
    call: int = 0


@dataclass(frozen=True, slots=True)
class Rate:
    """Instructions of a row-wise kernel: `each` channel, `column` where b has one number per row;
    `row`, `call` channel of a call, `rest` of each of the last channels % 4. `operands`: activations;
    `inner`: the loop knows nothing of the output's type. `narrowing`: each channel from int16 to int8,
    where that is not as other mixed types are. `narrow`: a sum or product of bytes, where the core has
    a loop for it; `gate`: a product by one row for all."""

    each: ByType
    operands: int = 1
    column: ByType | None = None
    row: int = 16
    call: int = 0
    rest: int = 0
    inner: bool = False
    narrowing: float | None = None
    narrow: LoopCost | None = None
    gate: LoopCost | None = None


@dataclass(frozen=True, slots=True)
class MaxPool:
    """Instructions of mcf_maxpool: an output line, an output pixel; of a window's 16 bytes of
    channels, a line of them, a pixel; of the words that are left; of a pixel with less than one."""

    line: int
    window: int
    block: int
    block_row: int
    block_pixel: float
    word: int
    word_row: int
    word_pixel: int
    element: int
    element_pixel: int


@dataclass(frozen=True, slots=True)
class CostSet:
    """`rates` by the name of the operator's cost."""

    name: str
    rates: Mapping[str, Rate]
    maxpool: MaxPool


_ADD_BYTES, _MUL_BYTES = LoopCost(5.75, 19, 21), LoopCost(7.75, 26, 31)
_GATE_BYTES = LoopCost(4.5, 25, 33, call=8)

# All at -O3, as the firmware is built (tests/kernels/test_core_costs.py).
CORTEX_M7 = CostSet(
    "cortex-m7",
    {
        "add": Rate((12, 12, 12), 2, (12, 12, 12), row=35, narrowing=18.6, narrow=_ADD_BYTES),
        "max": Rate((15, 15, 15), 2, (14, 14, 14), row=30),
        "larger": Rate((2, 4, 4), 2, (1.55, 3, 3), row=15, rest=8),
        "requant": Rate((9, 9, 9), row=24),
        "mul": Rate((15, 15, 15), 2, (13, 13, 13), row=42, narrow=_MUL_BYTES, gate=_GATE_BYTES),
        "unary": Rate((4.25, 11, 7), row=30, narrowing=13),
        "mean": Rate((2, 8, 8), row=10, call=5, inner=True),
        "softmax": Rate((9.55, 52.5, 33), row=180, rest=10, narrowing=52.5),
        "argmax": Rate((6, 7, 7), inner=True),
    },
    MaxPool(40, 36, block=35, block_row=10, block_pixel=15, word=20, word_row=8, word_pixel=6,
            element=15, element_pixel=11),
)  # fmt: skip
CORTEX_M4 = CostSet(
    "cortex-m4",
    {
        **CORTEX_M7.rates,
        "add": replace(CORTEX_M7.rates["add"], narrowing=18),
        "mul": replace(CORTEX_M7.rates["mul"], column=(13, 13.5, 14)),
        "unary": replace(CORTEX_M7.rates["unary"], each=(4.25, 11, 6)),
        "argmax": Rate((8, 9, 9), inner=True),
    },
    replace(CORTEX_M7.maxpool, window=32, block_pixel=14.6),
)
CORTEX_M33 = CostSet(
    "cortex-m33",
    {
        **CORTEX_M4.rates,
        "add": replace(CORTEX_M4.rates["add"], narrowing=17.6),
        "softmax": Rate((9.55, 51.5, 33), row=180, rest=10, narrowing=51.5),
    },
    CORTEX_M7.maxpool,
)
