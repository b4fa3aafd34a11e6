"""Figures of single kernels: run alone in Unicorn, on random data, checked against the interpreter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import test_attention
import test_elementwise
import test_elementwise_counts
import test_layernorm
import test_pools
import test_resize
import test_walks
from attention_cases import Spec
from counted import (
    DEPTHWISE,
    POINTWISE,
    RGB,
    STRIDED,
    Layer,
    count_convolution,
    count_linear,
    device,
)
from rows import Row

from mcuformer.errors import ToolMissingError
from mcuformer.kernels import attention
from mcuformer.targets.cycles import estimate_cycles
from mcuformer.targets.elf import read_elf

Calls = Mapping[Layer, int]  # a call -> how often the plan makes it
BUILD = "cortex-m7 -O3"  # as the firmware is compiled


def _total(calls: Calls, change: Callable[[Layer], Layer]) -> int:
    return sum(times * count_linear(change(layer)).instructions for layer, times in calls.items())


def residual_cost(calls: Calls) -> float:
    """Instructions per element that the residual adds to the same calls without one."""
    elements = sum(times * layer.rows * layer.n for layer, times in calls.items())
    with_it = _total(calls, lambda layer: layer)
    return (with_it - _total(calls, lambda layer: replace(layer, res=None))) / elements


def int4_over_int8(calls: Calls) -> Row:
    eight, four = (
        _total(calls, lambda layer, bits=bits: replace(layer, weight_bits=bits)) for bits in (8, 4)
    )
    return Row("int4 weights, deit_tiny's linear layers", "int4", four / eight)


def modelled_cycles(calls: Calls) -> Row:
    """Of the LDR variant, without the residual."""
    what, flags = "modelled cycles, LDR variant, deit_tiny's linear layers", ("-DMCF_LDR",)
    cycles = macs = 0
    try:
        for layer, times in calls.items():
            count_linear(replace(layer, res=None), flags)
            runs = device(flags)
            blocks = {at: (size, n) for (at, size), n in runs.executions.items()}
            assert len(blocks) == len(runs.executions), "two blocks start at one address"
            cycles += times * estimate_cycles(read_elf(runs.path), blocks, "cortex-m7")
            macs += times * layer.macs
    except ToolMissingError as error:
        return Row(what, "cycles", None, error.message)
    return Row(what, "cycles", cycles / macs, "llvm-mca, no memory stalls")


def alone() -> list[Row]:
    return [
        *_attention(),
        *_softmax(),
        *_layernorm(),
        *_convolutions(),
        *_joined(),
        *_pools(),
        *_moved(),
    ]


def _attention() -> Iterator[Row]:
    case = test_attention.make_case(Spec(197, 197, 64, 64))
    y, count = test_attention.run(case, BUILD, 40)
    np.testing.assert_array_equal(y, case.expected)
    scratch = attention.scratch_bytes(case.op, case.graph, 197, panel=40)
    note = f"alone, {scratch:,} B of scratch"
    yield Row("attention head, 197 tokens, d=64", "attention head", count / 1e6, note)


def _softmax() -> Iterator[Row]:
    case = test_elementwise.softmax_case(197, 197, "int8", "int8", "random", 4.0, 0)
    count = test_elementwise_counts.counted(case, "mcf_softmax")
    yield Row("softmax, rows of 197", "softmax", count / 197**2, "alone")


def _layernorm() -> Iterator[Row]:
    case = test_layernorm.make_case(64, 192)
    count = test_layernorm.check(case, BUILD, 0, False)
    yield Row("LayerNorm, C=192", "LayerNorm", count / (64 * 192), "alone, one scale")


def _convolutions() -> Iterator[Row]:
    for what, limit, image, x in (
        ("depthwise 3x3, C=96, 14x14", "depthwise", DEPTHWISE, "int8"),
        ("convolution 1x1, 96 to 96, 14x14", "pointwise", POINTWISE, "int8"),
        ("convolution 3x3 stride 2, 3 to 32", "convolution, 3 channels", RGB, "uint8"),
        ("convolution 3x3 stride 2, 32 to 64", "convolution, 32 channels", STRIDED, "int8"),
    ):
        counted, macs = count_convolution(image, x)
        yield Row(what, limit, counted.instructions / macs, "alone")


def _joined() -> Iterator[Row]:
    pixels = 14 * 14
    for what, limit, kind, rows in (
        ("sum of two maps (a residual alone), C=96, 14x14", "sum", "q_add", pixels),
        ("product of two maps, C=96, 14x14", "product", "q_mul", pixels),
        ("gate of one row, C=96, 14x14", "gate", "q_mul", 1),
    ):
        case = test_elementwise_counts.joined_case(kind, ((pixels, 96), (rows, 96)), ("int8",) * 3)
        count = test_elementwise_counts.counted(case, f"mcf_{kind[2:]}")
        yield Row(what, limit, count / case.expected.size, "alone")


def _pools() -> Iterator[Row]:
    case = test_pools.counted_case("3x3 stride 2 of 32")
    y, count = test_pools.run(case, BUILD, len(case.expected))
    np.testing.assert_array_equal(y, case.expected)
    yield Row("max-pooling 3x3 stride 2, C=32", "max-pooling", count / y.size, "alone")


def _moved() -> Iterator[Row]:
    shape, size, dtype, attrs, _ = test_resize.COUNTED["twice as large, 32 channels"]
    x = np.random.default_rng(0).integers(-128, 128, shape).astype(dtype)
    case = test_resize.resize_case(x, size, **attrs)
    y, count = test_resize.run(case, BUILD, len(case.expected))
    np.testing.assert_array_equal(y, case.expected)
    yield Row("resize by linear, 8x8 to 16x16, C=32", "resize, linear", count / y.size, "alone")
    copies, row, _ = test_walks.COUNTED["twice as large, 32 channels"]
    yield Row(
        "resize by nearest, 8x8 to 16x16, C=32", "resize, nearest",
        test_walks.counted(copies, row, BUILD) / (len(copies) * row), "alone",
    )  # fmt: skip
    for name in (
        "96 channels in two groups",
        "128 channels in four groups",
        "240 channels in six groups",
    ):
        turned, _ = test_walks.TURNED[name]
        count = test_walks.counted(turned, 1, BUILD)
        yield Row(f"shuffle of {name}", "shuffle", count / len(turned), "alone")
