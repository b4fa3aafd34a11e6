"""The numbers of absorbed attention: what they stand for, and that no sum leaves its 32 bits."""

from __future__ import annotations

import numpy as np
import pytest
from util_models import VitConfig, images, vit

from mcuformer.ir.graph import Graph
from mcuformer.ir.types import TensorType, Value
from mcuformer.quant import calibrate, lower
from mcuformer.quant.absorb import absorb, absorbable
from mcuformer.quant.absorbed_numbers import (
    Group,
    constants,
    mixed_bits,
    numbers_of_keys,
    numbers_of_values,
    p_shift,
    query_limit,
    score_multiplier,
    token_range,
)

CFG = VitConfig(width=24, heads=2, hidden=48, blocks=1)


@pytest.fixture(scope="module", params=[4, 8])
def lowered(request: pytest.FixtureRequest) -> tuple[Graph, Group]:
    stats = calibrate(vit(CFG), images(CFG, 8, 1))
    bits = {op.name: request.param for op in stats.graph.ops if op.kind == "linear"}
    done = lower(stats.graph, stats, bits=bits)
    (group,) = absorbable(done).values()
    return done, group


def real_weights(graph: Graph, name: str) -> np.ndarray:
    """[N, K], in output steps of this q_linear per step of its input."""
    op = next(op for op in graph.ops if op.name == name)
    w, mult = (np.asarray(graph.const(op.inputs[i]), np.float64) for i in (1, 3))
    shift = op.attrs.get("acc_shift", 0) - 32 - op.attrs["shift"]
    return w * (mult * 2.0**shift)[:, None]


def test_a_query_times_the_tokens_is_its_score(lowered: tuple[Graph, Group]) -> None:
    """Units of q' are such that m scores of theirs are m scores of q and k."""
    graph, group = lowered
    keys, unit = numbers_of_keys(graph, group)
    heads, width = CFG.heads, CFG.width
    wanted = real_weights(graph, group.k.name).reshape(heads, -1, width).swapaxes(1, 2)
    got = (keys.w * keys.factors[:, None]).reshape(heads, width, -1) * unit[:, None, None]
    steps = np.abs(wanted).max(axis=2, keepdims=True) / 127
    assert np.all(np.abs(got - wanted) <= 0.501 * steps)
    shift, m = score_multiplier(graph, group)
    exact = np.asarray(group.attention.attrs["m"]) * 2.0 ** group.attention.attrs["pre_shift"]
    assert np.array(m) * 2.0**shift == pytest.approx(exact * unit, rel=1e-3)


def test_sums_stay_within_their_types(lowered: tuple[Graph, Group]) -> None:
    graph, group = lowered
    reach, limit, tokens = (
        token_range(graph, group),
        query_limit(graph, group),
        graph.type(group.tokens).shape[0],
    )
    assert limit * reach * CFG.width < 2**31
    keys, _ = numbers_of_keys(graph, group)
    q_max = 128 * np.abs(keys.w.astype(np.int64)).sum(axis=1) * keys.factors
    assert q_max.max() < limit
    assert (32767 >> p_shift(tokens, reach)) * tokens * reach < 2**31
    assert reach << mixed_bits(graph, group) < 2**15
    values = numbers_of_values(graph, group)
    assert values.sums * (16 if group.v.attrs.get("weight_bits") == 4 else 1) < 2**31


def test_constants_are_the_factors_as_finely_as_32_bits_allow(lowered: tuple[Graph, Group]) -> None:
    graph, group = lowered
    for made, dtype in (
        (numbers_of_keys(graph, group)[0], "int16"),
        (numbers_of_values(graph, group), "int8"),
    ):
        bits = int(group.v.attrs.get("weight_bits", 8)) if dtype == "int8" else 8
        (_, _, mult, offset), shifts = constants(made, dtype, {"weight_bits": bits})
        scale = 2.0 ** (shifts["acc_shift"] - 32 - shifts["shift"])
        assert mult * scale == pytest.approx(made.factors, abs=float(made.factors.max()) / 2**24)
        assert offset.tolist() == [1 << (shifts["shift"] - 1)]


@pytest.mark.parametrize("zero", [37, -128])
def test_a_zero_point_of_v_comes_through_the_gain(lowered: tuple[Graph, Group], zero: int) -> None:
    """All of it lies in biases, also of a row whose own steps are too fine for that."""
    graph, group = lowered
    shift, (name, multipliers) = group.v.attrs["shift"], (group.v.inputs[4], group.v.inputs[3])
    fine = np.array(graph.const(multipliers))
    fine[1] = 16

    def with_zero(z: int) -> tuple[np.ndarray, np.ndarray]:
        offset = np.array([(z << shift) + (1 << (shift - 1))], np.int32)
        values = dict(graph.values)
        for key, data in ((name, offset), (multipliers, fine)):
            values[key] = Value(key, TensorType(data.shape, "int32"), data)
        made = numbers_of_values(graph.replace(values=values), group)
        assert made.sums * (16 if group.v.attrs.get("weight_bits") == 4 else 1) < 2**31
        return made.bias * made.factors, made.w * made.factors[:, None]

    (before, rows), (after, same) = with_zero(0), with_zero(zero)
    gain = np.asarray(group.attention.attrs["o_mant"]) * 2.0 ** (
        15.0 - np.asarray(group.attention.attrs["o_exp"])
    )
    per_head = np.repeat(np.broadcast_to(gain, CFG.heads), CFG.width // CFG.heads)
    assert after - before == pytest.approx(zero * per_head, rel=1e-3)
    assert same == pytest.approx(rows, abs=float(np.abs(rows).max()) * 1e-3)


def test_the_output_of_the_values_layer_is_that_of_the_attention(
    lowered: tuple[Graph, Group],
) -> None:
    """W_v on P N (2^bits a token's step) gives what P V gave: the gain of the softmax times W_v."""
    graph, group = lowered
    made = absorb(graph, [group.attention.name])
    (name,) = (op.name for op in made.ops if op.name.endswith(".out"))
    gain = np.asarray(group.attention.attrs["o_mant"]) * 2.0 ** (
        15.0 - np.asarray(group.attention.attrs["o_exp"])
    )
    per_head = np.repeat(np.broadcast_to(gain, CFG.heads), CFG.width // CFG.heads)
    wanted = real_weights(graph, group.v.name) * per_head[:, None]
    got = real_weights(made, name) * 2.0 ** mixed_bits(graph, group)
    assert got == pytest.approx(wanted, rel=1e-4, abs=1e-9)
