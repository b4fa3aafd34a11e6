"""Programs of the real scheduler, over drawn networks, input modes and optimisation settings."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from util_models import VitConfig, sequence_model, two_input_model, vit, with_outputs

from mcuformer.ir.graph import Graph
from mcuformer.memory.check import check
from mcuformer.memory.model import UNLIMITED, Arena
from mcuformer.memory.simulate import simulate
from mcuformer.plan.fit import curve, place
from mcuformer.price.book import CostBook
from mcuformer.quant import lower, synthetic_stats

ANYWHERE = (Arena("sram", 0x20000000, UNLIMITED),)
drawn = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@st.composite
def configs(draw: st.DrawFn) -> VitConfig:
    heads, head_dim = draw(st.integers(1, 4)), draw(st.integers(3, 9))
    pool = draw(st.sampled_from(("token", "mean", "none")))
    return VitConfig(
        image=(4 * draw(st.integers(1, 4)), 4 * draw(st.integers(1, 4))),
        width=draw(st.integers(5, 24)),
        heads=heads,
        head_dim=head_dim,
        hidden=draw(st.integers(7, 40)),
        blocks=draw(st.integers(1, 2)),
        pre_norm=draw(st.booleans()),
        pool=pool,
        activation=draw(st.sampled_from(("gelu", "relu"))),
        qk_norm=draw(st.booleans()),
        rank=draw(st.sampled_from((None, None, 6))),
        seed=draw(st.integers(0, 99)),
    )


def prove(graph: Graph, mode: str, activations: str) -> None:
    """Every setting of the trade-off, placed, checked and replayed."""
    trade = curve(lower(graph, synthetic_stats(graph), activations), mode, CostBook())
    seen = set()
    for optimize in ("ram", "balanced", "speed"):
        made = place(trade, ANYWHERE, optimize)
        if id(made.point) in seen:
            continue
        seen.add(id(made.point))
        check(made.program, made.plan)
        simulate(made.program, made.plan)
        slack = 128  # of a kilobyte or less: eight bytes for each buffer alive at the peak
        assert made.plan.arena_bytes <= 1.01 * made.plan.lower_bound_bytes + slack


@settings(drawn, max_examples=8)
@given(configs(), st.sampled_from(("bands", "resident", "flash")), st.sampled_from(("8", "mixed")))
def test_image_models(config: VitConfig, mode: str, activations: str) -> None:
    prove(vit(config), mode, activations)


@settings(drawn, max_examples=4)
@given(configs(), st.integers(1, 13))
def test_sequence_models(config: VitConfig, tokens: int) -> None:
    prove(sequence_model(replace(config, pool="mean"), tokens), "resident", "8")


@settings(drawn, max_examples=12)
@given(
    configs(), st.sampled_from(("bands", "resident", "flash")), st.integers(0, 999), st.booleans()
)
def test_several_outputs(config: VitConfig, mode: str, seed: int, sequence: bool) -> None:
    """Activations that others read, views and inputs: each stays readable to the end."""
    graph = sequence_model(replace(config, pool="mean"), 7) if sequence else vit(config)
    prove(with_outputs(graph, seed), mode, "8")


@settings(drawn, max_examples=8)
@given(configs(), st.sampled_from(("bands", "resident", "flash")), st.integers(0, 999))
def test_several_inputs(config: VitConfig, mode: str, seed: int) -> None:
    prove(with_outputs(two_input_model(config, 1 + seed % 9), seed), mode, "8")


@pytest.mark.long
@settings(drawn, max_examples=60)
@given(
    configs(),
    st.sampled_from(("bands", "resident", "flash")),
    st.sampled_from(("8", "mixed", "16")),
)
def test_many_image_models(config: VitConfig, mode: str, activations: str) -> None:
    prove(vit(config), mode, activations)
