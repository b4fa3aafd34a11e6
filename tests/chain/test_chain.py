"""Randomised: hypothesis draws small transformers and schedules through the whole chain."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from chain import follow, scheduled
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from util_models import VitConfig, images, sequence_model, tokens, vit

from mcuformer import quant
from mcuformer.ir.graph import Graph
from mcuformer.quant.rewrites.fuse_epilogue import PRODUCERS

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


@dataclass(frozen=True)
class Widths:
    """Bits of activations, and of weights: "some" has 4 in every second layer."""

    activations: str
    weights: str

    def bits(self, graph: Graph) -> dict[str, int]:
        layers = [op.name for op in graph.ops if op.kind in PRODUCERS]
        step = {"8": len(layers) + 1, "some": 2, "4": 1}[self.weights]
        return dict.fromkeys(layers[step - 1 :: step], 4)


def lowered(config: VitConfig, widths: Widths, length: int | None = None) -> Graph:
    graph = vit(config) if length is None else sequence_model(config, length)
    samples = images(config, 6) if length is None else tokens(config, 6, length)
    return quantised(graph, samples, widths)


def quantised(graph: Graph, samples: NDArray, widths: Widths) -> Graph:
    stats = quant.calibrate(graph, samples)
    bits = widths.bits(stats.graph)
    return quant.lower(graph, stats, widths.activations, None, bits)  # type: ignore[arg-type]


MODES = st.sampled_from(("bands", "resident", "flash"))
GOALS = st.sampled_from(("speed", "balanced", "ram"))
WIDTHS = st.builds(
    Widths, st.sampled_from(("8", "8", "mixed", "16")), st.sampled_from(("8", "some", "4"))
)


@settings(max_examples=6, **QUIET)
@given(configs(), MODES, GOALS, WIDTHS)
def test_host_equals_the_interpreter(
    config: VitConfig, mode: str, goal: str, width: Widths
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        follow(scheduled(lowered(config, width), mode, goal), Path(folder), ("host",))


@settings(max_examples=3, **QUIET)
@given(configs(), MODES, GOALS, WIDTHS)
def test_everywhere_the_same_bits(config: VitConfig, mode: str, goal: str, width: Widths) -> None:
    with tempfile.TemporaryDirectory() as folder:
        follow(scheduled(lowered(config, width), mode, goal), Path(folder), EVERYWHERE)


@settings(max_examples=4, **QUIET)
@given(configs(), st.integers(1, 23), GOALS, WIDTHS)
def test_sequences(config: VitConfig, length: int, goal: str, width: Widths) -> None:
    with tempfile.TemporaryDirectory() as folder:
        graph = lowered(config, width, length)
        follow(scheduled(graph, "resident", goal), Path(folder), ("host", "unicorn"))


def test_absorbed_weights_with_4_bits() -> None:
    """K's matrix is rounded anew for them, to 8 bits; V's keeps its 4 on int16 rows."""
    config = VitConfig(image=(40, 40), patch=4, width=12, heads=3, hidden=8, blocks=2)
    graph = lowered(config, Widths("8", "4"))
    made = scheduled(graph, "bands", "ram")
    names = [op.name for op in made.graph.ops if op.attrs.get("groups", 1) > 1]
    assert names and any(c.schedule.startswith("absorbed") for c in made.point.choices)
    bits = {op.name: op.attrs.get("weight_bits", 8) for op in made.graph.ops if op.name in names}
    assert sorted(set(bits.values())) == [4, 8]
    with tempfile.TemporaryDirectory() as folder:
        follow(made, Path(folder), ("host", "unicorn"))


# What calibration sees at one number: heads of one channel leave nothing of q and k but beta; equal
# rows before the first LayerNorm make q, k and v constant.
DEAD = {
    "one channel": (VitConfig(
        image=(20, 20), width=26, heads=8, head_dim=1, hidden=14, blocks=1, classes=8,
        pre_norm=False, pool="mean", activation="relu", qk_norm=True, seed=90,
    ), ()),
    "equal rows": (
        VitConfig(image=(12, 12), blocks=1, qk_norm=True), ("patch.w", "pos.const", "cat.const")
    ),
    "rows of zeros": (
        VitConfig(image=(12, 12), blocks=1, pool="mean"), ("patch.w", "patch.b", "pos.const")
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("width", "goal"), [(Widths("8", "4"), "ram"), (Widths("16", "8"), "speed")]
)
@pytest.mark.parametrize("case", DEAD)
def test_values_that_never_move(case: str, width: Widths, goal: str, tmp_path: Path) -> None:
    config, zeros = DEAD[case]
    graph = vit(config)
    values = {n: replace(graph.values[n], data=0 * graph.values[n].data) for n in zeros}
    graph = graph.replace(values={**graph.values, **values})
    made = quantised(graph, images(config, 6), width)
    follow(scheduled(made, "bands", goal), tmp_path, ("host", "unicorn"))


@pytest.mark.long
@settings(max_examples=20, **QUIET)
@given(configs(), MODES, GOALS, WIDTHS)
def test_many_everywhere(config: VitConfig, mode: str, goal: str, width: Widths) -> None:
    with tempfile.TemporaryDirectory() as folder:
        follow(scheduled(lowered(config, width), mode, goal), Path(folder), EVERYWHERE)
