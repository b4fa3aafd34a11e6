"""Which layers get 4 bits, and what the layers lose."""

import numpy as np
import pytest
import util_models as models

from mcuformer.ir.interp_float import eval_steps
from mcuformer.ir.layout import dequantise, quantise_input, to_canonical
from mcuformer.operators.flash_bytes import matrix_bytes
from mcuformer.operators.interpreter import run_int
from mcuformer.quant import CalibrationStats, InputFormat, calibrate, lower, synthetic_stats
from mcuformer.quant.lower import outline_of
from mcuformer.quant.rewrites.fuse_epilogue import PRODUCERS
from mcuformer.quant.sensitivity import sensitivities
from mcuformer.quant.weight_bits import (
    WeightBits,
    cheapest,
    choose_bits,
    layer_macs,
    saved_bytes,
)

CONFIG = models.VitConfig(blocks=2)
PIXELS = InputFormat((0.5,) * 3, (0.19,) * 3)


@pytest.fixture(scope="module")
def stats() -> CalibrationStats:
    return calibrate(models.vit(CONFIG), models.images(CONFIG, 48))


def total(stats: CalibrationStats, bits: dict[str, int]) -> int:
    outline = outline_of(stats.graph)
    return sum(matrix_bytes(outline, op, bits.get(op.name, 8)) for op in outline.ops)


def choose(stats: CalibrationStats, wanted: str, room: int | None) -> WeightBits:
    return choose_bits(stats, wanted, lambda _: room, lambda: outline_of(stats.graph))


@pytest.mark.parametrize("share", [1.0, 0.95, 0.8, 0.6, 0.5])
def test_auto_stays_within_the_room(stats: CalibrationStats, share: float) -> None:
    room = int(total(stats, {}) * share)
    chosen = choose(stats, "auto", room)
    used = total(stats, dict(chosen.bits))
    assert used <= room and (share < 1.0) == bool(chosen.bits)
    assert all("calibration samples" in note for note in chosen.notes)


def test_auto_without_a_limit_or_beyond_reach(stats: CalibrationStats) -> None:
    assert not choose(stats, "auto", None).bits
    everything = choose(stats, "4", None).bits
    assert choose(stats, "auto", 10).bits == everything


def test_without_data_the_weights_decide() -> None:
    stats = synthetic_stats(models.vit(CONFIG))
    chosen = choose(stats, "auto", int(total(stats, {}) * 0.8))
    assert chosen.bits and "no calibration data" in chosen.notes[-1]


def test_given_weights_keep_their_bits(stats: CalibrationStats) -> None:
    graph = stats.graph.replace(meta={**stats.graph.meta, "qdq": {}})
    given = CalibrationStats(graph, "mse", stats.values)
    chosen = choose(given, "4", None)
    assert not chosen.bits and "QDQ" in chosen.notes[0]


def test_measured_errors_are_those_of_a_real_change(stats: CalibrationStats) -> None:
    """A layer whose weights the outputs hardly feel costs less than one behind which all passes."""
    ops = [op for op in stats.graph.ops if op.kind in PRODUCERS]
    found = sensitivities(stats, ops, {op.name: layer_macs(stats.graph, op) for op in ops})
    assert set(found) == {op.name for op in ops} and min(found.values()) > 0
    graph = stats.graph
    quiet = next(op for op in ops if op.name.endswith("fc2"))
    name = str(quiet.inputs[1])
    value = graph.values[name]
    assert value.data is not None
    small = type(value)(name, value.type, value.data * np.float32(1e-3))
    calm = CalibrationStats(
        graph.replace(values={**graph.values, name: small}), "mse", stats.values, stats.samples
    )
    less = sensitivities(calm, [quiet], {})
    assert less[quiet.name] < 0.01 * found[quiet.name]


def test_the_dearest_layer_goes_back(stats: CalibrationStats) -> None:
    ops = [op for op in stats.graph.ops if op.kind in PRODUCERS]
    saved = saved_bytes(outline_of(stats.graph))
    saved = {op.name: saved[op.name] for op in ops}
    largest = max(ops, key=lambda op: saved[op.name])
    cost = {op.name: 1e-6 for op in ops} | {largest.name: 1.0}
    least = sum(saved.values()) - saved[largest.name]
    assert largest not in cheapest(saved, ops, cost, least)
    assert largest in cheapest(saved, ops, cost, least + 1)


@pytest.mark.parametrize(("mode", "least"), [("8", 13), ("mixed", 14), ("16", 14)])
def test_networks_of_4_bits(stats: CalibrationStats, mode: str, least: float) -> None:
    """Proved bounds at extremes, multipliers that the kernel takes, and an output that is close."""
    graph = stats.graph
    bits = choose(stats, "4", None).bits
    done = lower(models.vit(CONFIG), stats, mode, PIXELS, bits)  # type: ignore[arg-type]
    for op in done.ops:
        if op.kind in ("q_linear", "q_patch_embed"):
            w, mult = (done.const(op.inputs[i]) for i in (1, 3))
            assert w is not None and mult is not None
            assert op.attrs["weight_bits"] == 4 and w.min() >= -8 and w.max() <= 7
            assert not (mult % 16).any()
    shape = done.type(done.inputs[0]).shape
    rng = np.random.default_rng(0)
    extremes = [np.zeros(shape), np.full(shape, 255), rng.integers(0, 2, shape) * 255]
    run_int(done, np.array(extremes, np.uint8))
    unseen = models.images(CONFIG, 24, seed=2)
    *_, (_, env) = eval_steps(graph, to_canonical(graph, unseen))
    want = env[graph.outputs[0]]
    name = done.outputs[0]
    got = dequantise(done, name, run_int(done, quantise_input(done, unseen))[name])
    assert 10 * np.log10(np.sum(want**2) / np.sum((got - want) ** 2)) > least
