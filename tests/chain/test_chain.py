"""Randomised: hypothesis draws small transformers and schedules through the whole chain."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from chain import follow, scheduled
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from util_models import VitConfig, images, sequence_model, tokens, vit

from mcuformer import quant
from mcuformer.ir.graph import Graph

EVERYWHERE = ("host", "unicorn", "qemu")
QUIET = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "phases": (Phase.generate,),  # a failing draw is small enough to read; shrinking takes minutes
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}


@st.composite
def configs(draw: st.DrawFn) -> VitConfig:
    """Odd token counts, odd widths, 1 to 8 heads, with and without biases."""
    patch = draw(st.integers(2, 5))
    grid = (draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    heads = draw(st.sampled_from((1, 2, 3, 4, 5, 8)))
    return VitConfig(
        image=(patch * grid[0], patch * grid[1]),
        patch=patch,
        width=draw(st.integers(heads, 33)) if heads > 1 else draw(st.integers(3, 33)),
        heads=heads,
        head_dim=draw(st.integers(1, 12)),
        hidden=draw(st.integers(1, 60)),
        blocks=draw(st.integers(1, 2)),
        classes=draw(st.integers(1, 11)),
        qkv_bias=draw(st.booleans()),
        bias=draw(st.booleans()),
        pre_norm=draw(st.booleans()),
        pool=draw(st.sampled_from(("token", "mean"))),
        activation=draw(st.sampled_from(("gelu", "relu"))),
        qk_norm=draw(st.booleans()),
        attention_bias=draw(st.booleans()),
        rank=draw(st.sampled_from((None, None, 3, 7))),
        seed=draw(st.integers(0, 99)),
    )


def lowered(config: VitConfig, activations: str, length: int | None = None) -> Graph:
    graph = vit(config) if length is None else sequence_model(config, length)
    samples = images(config, 6) if length is None else tokens(config, 6, length)
    return quant.lower(graph, quant.calibrate(graph, samples), activations)  # type: ignore[arg-type]


MODES = st.sampled_from(("bands", "resident", "flash"))
GOALS = st.sampled_from(("speed", "balanced", "ram"))
WIDTHS = st.sampled_from(("8", "8", "mixed", "16"))


@settings(max_examples=12, **QUIET)
@given(configs(), MODES, GOALS, WIDTHS)
def test_host_equals_the_interpreter(config: VitConfig, mode: str, goal: str, width: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        follow(scheduled(lowered(config, width), mode, goal), Path(folder), ("host",))


@settings(max_examples=3, **QUIET)
@given(configs(), MODES, GOALS, WIDTHS)
def test_everywhere_the_same_bits(config: VitConfig, mode: str, goal: str, width: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        follow(scheduled(lowered(config, width), mode, goal), Path(folder), EVERYWHERE)


@settings(max_examples=4, **QUIET)
@given(configs(), st.integers(1, 23), GOALS, WIDTHS)
def test_sequences(config: VitConfig, length: int, goal: str, width: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        graph = lowered(config, width, length)
        follow(scheduled(graph, "resident", goal), Path(folder), ("host", "unicorn"))


@pytest.mark.long
@settings(max_examples=20, **QUIET)
@given(configs(), MODES, GOALS, WIDTHS)
def test_many_everywhere(config: VitConfig, mode: str, goal: str, width: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        follow(scheduled(lowered(config, width), mode, goal), Path(folder), EVERYWHERE)
