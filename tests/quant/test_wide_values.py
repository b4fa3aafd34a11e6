"""--activations auto: 16 bits where measurement asks for them, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import util_models as models

from mcuformer.ir.graph import Graph
from mcuformer.operators.interpreter import run_int
from mcuformer.quant import calibrate, lower, synthetic_stats
from mcuformer.quant import wide_values as wide
from mcuformer.quant.policy import policies
from mcuformer.quant.wide_values import choose_wide

CFG = models.VitConfig(blocks=2)


def _stats():  # type: ignore[no-untyped-def]
    graph = models.vit(CFG)
    return graph, calibrate(graph, models.images(CFG, 16))


def _named(graph: Graph, *names: str) -> Graph:
    return graph.replace(meta={**graph.meta, "wide": names})


def test_good_outputs_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wide, "ENOUGH_DB", 0.0)
    _, stats = _stats()
    chosen = choose_wide(stats, None)
    assert chosen.wide == () and chosen.stats is stats and chosen.narrow_db == chosen.db


def test_nothing_is_wide_without_samples() -> None:
    stats = synthetic_stats(models.vit(CFG))
    assert choose_wide(stats, None).stats is stats


def test_few_values_bring_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, stats = _stats()
    narrow = choose_wide(stats, None).narrow_db
    assert narrow is not None
    monkeypatch.setattr(wide, "ENOUGH_DB", narrow + 1.0)
    chosen = choose_wide(stats, None)
    classes = {p.members for p in policies(stats.graph, "8").values()}
    assert 0 < len(chosen.wide) < len(classes)
    assert chosen.db is not None and chosen.db >= narrow + 1.0
    assert [w.alone_db for w in chosen.wide] == sorted(w.alone_db for w in chosen.wide)
    done = lower(graph, chosen.stats, "8")
    assert all(done.type(n).dtype == "int16" for w in chosen.wide for n in w.members)
    assert len(chosen.narrower().wide) == len(chosen.wide) // 2
    assert all(why.startswith("16 bits") for _, why in chosen.notes())


def test_what_an_attention_reads_and_writes_has_one_type() -> None:
    _, stats = _stats()
    attention = next(op for op in stats.graph.ops if op.kind == "attention")
    held = [*attention.inputs[:3], attention.outputs[0]]
    for name in held:
        found = policies(_named(stats.graph, str(name)), "8")
        assert {found[str(n)].dtype for n in held} == {"int16"}


@pytest.mark.parametrize(("seed", "share"), [(0, 0.4), (1, 0.4), (2, 0.4), (3, 0.4), (4, 1.0)])
def test_any_values_may_be_wide(seed: int, share: float) -> None:
    """The interpreter checks every proof, for the widest inputs too."""
    graph, stats = _stats()
    rng = np.random.default_rng(seed)
    names = [n for n, v in stats.graph.values.items() if not v.is_const and rng.random() < share]

    done = lower(graph, replace(stats, graph=_named(stats.graph, *names)), "8")
    info = np.iinfo(done.type(done.inputs[0]).dtype)
    shape = done.type(done.inputs[0]).shape
    ends = [
        np.full(shape, info.min),
        np.full(shape, info.max),
        rng.integers(0, 2, shape) * info.max,
    ]
    run_int(done, np.array(ends, info.dtype))


def test_all_values_are_wide_where_fewer_do_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Doubled, from one value, four rounds would end at eight."""
    monkeypatch.setattr(wide, "ENOUGH_DB", 300.0)
    monkeypatch.setattr(wide, "_count", lambda *_: 1)
    _, stats = _stats()
    chosen = choose_wide(stats, None)
    narrow = [p for p in policies(stats.graph, "8").values() if p.dtype == "int8"]
    assert len(chosen.wide) == len({p.members for p in narrow}) > 8
