"""Widths of one network: where their layers lie, blocks of the stream, common integers, common tables."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from util_slimmable import Slimmable, model_of, sliced, slimmable_files, weights_of

from mcuformer.errors import UsageError
from mcuformer.frontend.load import load_model
from mcuformer.ir.graph import Graph
from mcuformer.operators.interpreter import run_int
from mcuformer.quant.calibrate import calibrate
from mcuformer.quant.lower import lower
from mcuformer.quant.rewrites import prepare
from mcuformer.quant.slices.blocks import with_blocks
from mcuformer.quant.slices.joint import WidthShare, round_jointly
from mcuformer.quant.slices.match import matrix, places_of, stacks_of
from mcuformer.quant.slices.profiles import Width, share_profiles
from mcuformer.quant.slices.tables import snap_tables
from mcuformer.quant.slices.together import Slice, lower_together

RATIOS = (0.25, 0.5, 0.75, 1)
FULL = 3


def graphs(folder: Path, net: Slimmable) -> list[Graph]:
    return [load_model(f).replace(name=f.stem) for f in slimmable_files(folder, net, RATIOS)]


def samples(count: int = 24, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(count, 1, 8, 8))
    return x.astype(np.float32)


def together(made: list[Graph]) -> tuple[list[Graph], list[Slice]]:
    made, places = with_blocks(made, FULL)
    stats = [calibrate(g, (samples(),)) for g in made]
    slices = [Slice(g, s, p) for g, s, p in zip(made, stats, places, strict=True)]
    return lower_together(slices, FULL, "8", None, {}), slices


@pytest.mark.parametrize("pool", ("mean", "token"))
def test_layers_are_found_with_the_factors_of_their_roles(tmp_path: Path, pool: str) -> None:
    """The last 3 E / 2 rows of qkv: its q are rows of the full k and v. Here its q is twice theirs."""
    net = Slimmable(pool=pool)
    weights = sliced(weights_of(net), 0.5, last=True)
    for part in ("0.qkv.w", "0.qkv.b"):
        weights[part][: net.width // 2] *= 2
    onnx.save(model_of(net, weights, net.width // 2), tmp_path / "half.onnx")
    full, half = (
        prepare(g.replace(meta={**g.meta, "stream_blocks": ()}))
        for g in (graphs(tmp_path, net)[FULL], load_model(tmp_path / "half.onnx"))
    )
    places = places_of(full, half)
    stack = next(s for s in stacks_of(half) if len(s) == 3)
    q, k, v = (places[op.name] for op in stack)
    assert (q.row, k.row, v.row) == (48, 64, 80)
    assert {q.column, k.column, v.column} == {16}
    np.testing.assert_allclose(q.factor, 2, rtol=1e-5)
    np.testing.assert_allclose(k.factor, 1, rtol=1e-5)


def test_the_stream_turns_in_blocks_that_slices_take_whole(tmp_path: Path) -> None:
    made, _ = with_blocks(graphs(tmp_path, Slimmable()), FULL)
    blocks = [g.meta["stream_blocks"] for g in made]
    assert blocks == [((8, 0),), ((16, 16),), ((8, 8), (16, 16)), ((8, 0), (8, 8), (16, 16))]
    prepared = [prepare(g) for g in made]
    assert all(g.meta["rotated"] for g in prepared)
    for narrow in prepared[:FULL]:  # slices stay slices
        places_of(prepared[FULL], narrow)


def test_the_rotated_networks_compute_the_same(tmp_path: Path) -> None:
    from mcuformer.ir.interp_float import eval_steps

    made, _ = with_blocks(graphs(tmp_path, Slimmable()), FULL)
    x = samples(3).transpose(0, 2, 3, 1)
    for graph in made:
        ends = []
        for g in (graph.replace(meta={**graph.meta, "stream_blocks": ()}), graph):
            prepared = prepare(g)
            for _, env in eval_steps(prepared, [x]):
                last = env
            ends.append(last[prepared.outputs[0]])
        np.testing.assert_allclose(ends[0], ends[1], atol=1e-4)


def test_a_foreign_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    ours, theirs = graphs(tmp_path, Slimmable()), graphs(tmp_path / "other", Slimmable(seed=5))
    with pytest.raises(UsageError, match="is no slice"):
        with_blocks([ours[0], theirs[FULL]], 1)


def test_all_widths_have_slices_of_one_set_of_integers(tmp_path: Path) -> None:
    ints, slices = together(graphs(tmp_path, Slimmable(blocks=2)))
    full = [_codes(ints[FULL], ops) for ops in stacks_of(slices[FULL].stats.graph)]
    for graph, one in zip(ints, slices, strict=True):
        for index, ops in enumerate(stacks_of(one.stats.graph)):
            place, own = one.places[ops[0].name], _codes(graph, ops)
            rows = slice(place.row, place.row + len(own))
            columns = slice(place.column, place.column + own.shape[1])
            np.testing.assert_array_equal(own, full[index][rows, columns])


def _codes(graph: Graph, ops: list) -> np.ndarray:  # type: ignore[type-arg]
    made = {op.name: op for op in graph.ops}
    return np.concatenate([graph.const(made[op.name].inputs[1]) for op in ops])


def test_no_width_is_much_worse_than_by_itself(tmp_path: Path) -> None:
    made = graphs(tmp_path, Slimmable(width=64, blocks=2, seed=3))
    ints, slices = together(made)
    x = samples(16, seed=9)
    for graph, shared, one in zip(made, ints, slices, strict=True):
        alone = lower(graph, calibrate(graph, (samples(),)))
        wanted = _float(one.stats.graph, x)
        assert _db(wanted, shared, x) > _db(wanted, alone, x) - 1.5


def _float(graph: Graph, x: np.ndarray) -> np.ndarray:
    from mcuformer.ir.interp_float import eval_steps

    for _, env in eval_steps(graph, [x.transpose(0, 2, 3, 1)]):
        last = env
    return np.asarray(last[graph.outputs[0]], np.float64)


def _db(wanted: np.ndarray, graph: Graph, x: np.ndarray) -> float:
    first = graph.type(graph.inputs[0])
    assert first.qparams is not None
    q = first.qparams.quantise(x.transpose(0, 2, 3, 1), first.dtype)
    out = graph.type(graph.outputs[0]).qparams
    assert out is not None
    got = out.dequantise(run_int(graph, (q,))[graph.outputs[0]]).reshape(wanted.shape)
    return float(10 * np.log10(np.square(wanted).sum() / np.square(wanted - got).sum()))


def test_rows_are_rounded_for_the_widths_that_read_them() -> None:
    """With the identity as covariance rounding has no feedback, so every row has its nearest integers."""
    rng = np.random.default_rng(0)
    w = rng.normal(size=(8, 12))
    steps, zeros = np.ones(12), np.zeros(12)
    parts = [
        WidthShare(0, 0, steps, np.eye(8), zeros, 8),
        WidthShare(6, 4, steps[:6], np.eye(4), zeros[:6], 4),
    ]
    codes = round_jointly(w, parts, 8, 1)
    assert np.abs(codes.w * codes.scale - w).max() <= codes.scale.max() * 0.51
    assert np.abs(codes.w).max() <= 127


def test_a_large_bias_makes_a_row_coarser() -> None:
    w = np.full((4, 2), 1e-6)
    bias = np.array([1000.0, 0.0])
    codes = round_jointly(w, [WidthShare(0, 0, np.ones(2), None, bias, 4)], 8, 1)
    assert codes.scale[0] >= 1000 * 2.0**-28
    assert codes.scale[1] < 1e-7


def test_inputs_of_a_layer_agree_on_their_profile(tmp_path: Path) -> None:
    from mcuformer.quant.assign import assign

    made, places = with_blocks(graphs(tmp_path, Slimmable()), FULL)
    stats = [calibrate(g, (samples(),)) for g in made]
    widths = [Width(s.graph, assign(s, "8", None), p) for s, p in zip(stats, places, strict=True)]
    profiles = share_profiles(widths, FULL)
    for width in widths:
        for index, ops in enumerate(stacks_of(width.graph)):
            place = width.places[ops[0].name]
            rows = matrix(width.graph, ops).shape[0]
            own = np.broadcast_to(width.plan.qparams[str(ops[0].inputs[0])].scale, rows)
            ratio = own / profiles[index][place.column : place.column + rows]
            np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)


def test_tables_keep_to_quarters_of_an_octave(tmp_path: Path) -> None:
    from mcuformer.quant.assign import assign

    stats = calibrate(graphs(tmp_path, Slimmable())[FULL], (samples(),))
    plan, before = assign(stats, "8", None), assign(stats, "8", None)
    snap_tables(stats.graph, plan)
    hidden = next(op.outputs[0] for op in stats.graph.ops if op.attrs.get("fn") == "gelu")
    old, new = before.qparams[hidden], plan.qparams[hidden]
    assert float(np.log2(new.scale) * 4).is_integer()
    assert (
        float(new.scale * (127 - new.zero_point)) >= float(old.scale * (127 - old.zero_point)) - 0.2
    )
    assert float(new.scale / old.scale) < 1.25
    assert all(a <= b for a, b in pairwise((-128, float(new.zero_point), 127)))
