"""Part of `make bench`: attention, softmax, LayerNorm and elementwise kernels, counted in Unicorn.

    python tests/bench/row_kernels.py

Every call's output is compared with the integer interpreter's before it counts.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "kernels"))

import test_attention as attention_test
import test_elementwise as elementwise_test
import test_layernorm as layernorm_test
from attention_cases import Spec

from mcuformer.kernels import attention, layernorm


@dataclass(frozen=True)
class Row:
    """`instructions` over `units`; the limits are issue 4's, CMSIS-NN's count is from docs."""

    what: str
    instructions: int
    units: int
    at_most: float | None = None
    stretch: float | None = None
    cmsis: str = ""
    scratch_bytes: int = 0


def attention_rows() -> Iterator[Row]:
    case = attention_test.make_case(Spec(197, 197, 64, 64))
    for panel in (0, 16, 40, 66, 197):
        y, count = attention_test.run(case, "m7", panel)
        np.testing.assert_array_equal(y, case.expected)
        size = attention.scratch_bytes(case.op, case.graph, 197, panel=panel)
        what = f"attention head, 197 tokens, d=64, panel {panel} (M instr)"
        yield Row(what, count, 1_000_000, 4.9, 4.2, "22.7-32.8", size)


def layernorm_rows() -> Iterator[Row]:
    rows, channels = 64, 192
    for what, options in (
        ("one scale", {}),
        ("scale and zero per channel", {"a": True, "z": True}),
    ):
        case = layernorm_test.make_case(rows, channels, **options)
        count = layernorm_test.check(case, "m7", 0, False)
        size = layernorm.scratch_bytes(case.op, case.graph, rows)
        yield Row(f"LayerNorm, C=192, {what}", count, rows * channels, 8, 6, "none", size)


def softmax_rows() -> Iterator[Row]:
    case = elementwise_test.softmax_case(197, 197, "int8", "int8", "random", 4.0, 0)
    count = elementwise_test.counted(case, "mcf_softmax")
    yield Row("softmax alone, rows of 197", count, 197 * 197, 15, 12, "533", 400)


def main() -> None:
    print(
        f"{'what':56} {'measured':>9} {'at most':>8} {'stretch':>8} {'CMSIS-NN':>10} {'scratch':>8}"
    )
    for make in (attention_rows, softmax_rows, layernorm_rows):
        for row in make():
            value = row.instructions / row.units
            limits = f"{row.at_most!s:>8} {row.stretch!s:>8} {row.cmsis:>10}"
            print(f"{row.what:56} {value:9.2f} {limits} {row.scratch_bytes:8,}", flush=True)


if __name__ == "__main__":
    main()
