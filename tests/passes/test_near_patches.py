"""Masks of near patches become radii; every other bias stays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from util_models import VitConfig, images, vit

from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import run_float
from mcuformer.ir.neighbours import visible
from mcuformer.ir.types import TensorType, Value
from mcuformer.passes.near_patches import near_patches, radii_and_grid


@given(
    st.integers(3, 7), st.integers(3, 7), st.integers(0, 2),
    st.lists(st.integers(0, 3), min_size=1, max_size=3),
)  # fmt: skip
def test_what_a_mask_means_is_found(
    lines: int, columns: int, leading: int, radii: list[int]
) -> None:
    """Another grid and radius may mean the same mask."""
    rows = leading + lines * columns
    seen = np.stack([visible(rows, (lines, columns), r) for r in radii])
    found = radii_and_grid(seen)
    if seen.all():
        assert found is None
        return
    assert found is not None
    again = np.stack([visible(rows, found[1], r) for r in found[0]])
    np.testing.assert_array_equal(again, seen)


def masked(low: float, radius: int = 1) -> Graph:
    """A ViT of 5 x 4 patches and a class token, whose first layer has a mask for both heads."""
    graph = vit(VitConfig((20, 16), blocks=2))
    mask = np.where(visible(21, (5, 4), radius), 0, low).astype(np.float32)[None]
    values = {**graph.values, "mask": Value("mask", TensorType(mask.shape, "float32"), mask)}
    first = next(op for op in graph.ops if op.kind == "attention")
    ops = tuple(
        op.replace(inputs=(*op.inputs[:3], "mask")) if op is first else op for op in graph.ops
    )
    return graph.replace(ops=ops, values=values)


@pytest.mark.parametrize("low", [-1e4, -1e9, -np.inf])
def test_the_same_numbers(low: float) -> None:
    graph = masked(low)
    near = near_patches(graph)
    (op,) = (o for o in near.ops if "radii" in o.attrs)
    assert op.attrs["radii"] == (1, 1) and op.attrs["grid"] == (5, 4) and len(op.inputs) == 3
    (x,) = images(VitConfig((20, 16)), 1)[None]
    for name, y in run_float(graph, x).items():
        np.testing.assert_allclose(run_float(near, x)[name], y, rtol=1e-5, atol=1e-5)


def test_every_other_bias_stays() -> None:
    soft = masked(-9.0)
    assert near_patches(soft) is soft
    plain = vit(VitConfig((20, 16), attention_bias=True))
    assert near_patches(plain) is plain
    noise = np.random.default_rng(0).random((1, 20, 20)) < 0.5
    assert radii_and_grid(noise | np.eye(20, dtype=bool)) is None
