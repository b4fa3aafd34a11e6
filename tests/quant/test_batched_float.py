"""Samples of a batch do not see each other; preparing a graph changes no result."""

import numpy as np
import pytest
import util_models as models

from mcuformer.ir.interp_float import eval_steps, run_float
from mcuformer.ir.layout import to_canonical
from mcuformer.operators.verify import verify
from mcuformer.quant.rewrites import prepare

VARIANTS = [
    {},
    {"pool": "mean"},
    {"pre_norm": False},
    {"qk_norm": True, "attention_bias": True},
    {"rank": 6},
    {"activation": "silu", "bias": False},
]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_same_as_one_by_one(variant: dict) -> None:
    cfg = models.VitConfig(**variant)
    graph, x = models.vit(cfg), models.images(cfg, 3)
    *_, (_, batch) = eval_steps(graph, to_canonical(graph, x))
    for i in range(len(x)):
        want = run_float(graph, x[i : i + 1])[graph.outputs[0]]
        np.testing.assert_allclose(batch[graph.outputs[0]][i], want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_rewrites_change_no_result(variant: dict) -> None:
    cfg = models.VitConfig(**variant)
    graph, x = models.vit(cfg), models.images(cfg, 3)
    prepared = verify(prepare(graph))  # the rows know what preparing adds
    results = []
    for g in (graph, prepared):
        *_, (_, env) = eval_steps(g, to_canonical(g, x))
        results.append(env[g.outputs[0]])
    np.testing.assert_allclose(results[0], results[1], rtol=1e-3, atol=1e-5)
