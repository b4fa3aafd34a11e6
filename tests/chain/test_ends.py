"""Several inputs and several outputs through every link: drawn activations, views and inputs come out."""

from __future__ import annotations

import tempfile
from pathlib import Path

from chain import follow, scheduled
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from util_models import (
    VitConfig,
    images,
    sequence_model,
    tokens,
    two_input_model,
    vit,
    with_outputs,
)

from mcuformer import quant
from mcuformer.ir.graph import Graph

EVERYWHERE = ("host", "unicorn", "qemu")
QUIET = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "phases": (Phase.generate,),
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}
MODES = st.sampled_from(("bands", "resident", "flash"))
GOALS = st.sampled_from(("speed", "balanced", "ram"))


@st.composite
def configs(draw: st.DrawFn) -> VitConfig:
    heads = draw(st.sampled_from((1, 2, 3)))
    return VitConfig(
        image=(4 * draw(st.integers(1, 3)), 4 * draw(st.integers(1, 3))),
        width=draw(st.integers(5, 24)),
        heads=heads,
        head_dim=draw(st.integers(2, 9)),
        hidden=draw(st.integers(7, 40)),
        blocks=draw(st.integers(1, 2)),
        pool=draw(st.sampled_from(("token", "mean", "none"))),
        pre_norm=draw(st.booleans()),
        rank=draw(st.sampled_from((None, None, 6))),
        seed=draw(st.integers(0, 99)),
    )


def outputs_of(config: VitConfig, seed: int, sequence: bool) -> Graph:
    if sequence:
        graph = with_outputs(sequence_model(config, 7), seed)
        return quant.lower(graph, quant.calibrate(graph, tokens(config, 4, 7)))
    graph = with_outputs(vit(config), seed)
    return quant.lower(graph, quant.calibrate(graph, images(config, 4)))


def pair(config: VitConfig, seed: int) -> Graph:
    length = 1 + seed % 9
    graph = with_outputs(two_input_model(config, length), seed)
    samples = (images(config, 4), tokens(config, 4, length))
    return quant.lower(graph, quant.calibrate(graph, samples))


@settings(max_examples=10, **QUIET)
@given(configs(), MODES, GOALS, st.integers(0, 999), st.booleans())
def test_several_outputs(
    config: VitConfig, mode: str, goal: str, seed: int, sequence: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = scheduled(outputs_of(config, seed, sequence), mode, goal)
        follow(made, Path(folder), ("host",))


@settings(max_examples=6, **QUIET)
@given(configs(), MODES, GOALS, st.integers(0, 999))
def test_several_inputs(config: VitConfig, mode: str, goal: str, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        follow(scheduled(pair(config, seed), mode, goal), Path(folder), ("host",))


@settings(max_examples=2, **QUIET)
@given(configs(), MODES, GOALS, st.integers(0, 999))
def test_everywhere_the_same_bits(config: VitConfig, mode: str, goal: str, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        follow(scheduled(pair(config, seed), mode, goal), Path(folder), EVERYWHERE)
