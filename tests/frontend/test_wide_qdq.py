"""QDQ files with 16-bit activations keep them."""

import numpy as np
import zoo

from mcuformer.frontend import load_model
from mcuformer.quant import lower, synthetic_stats


def test_activations_of_16_bits_keep_them() -> None:
    """A grid of ours has no zero point, so its steps are up to two of the file's; it holds all of the
    file's, whose scale it is where that has none either."""
    graph = load_model(zoo.path("qdq_s16"))
    stats = synthetic_stats(graph)
    done = lower(graph, stats)
    attended = {n for op in stats.graph.ops if op.kind == "attention" for n in op.inputs}
    attended |= {op.outputs[0] for op in stats.graph.ops if op.kind == "attention"}
    found = {n: v.type for n, v in done.values.items() if not v.is_const and n not in attended}
    common = found.keys() & graph.meta["qdq"].keys()
    assert len(common) > 5
    for name in common:
        scale, zero, dtype = graph.meta["qdq"][name]
        grid = found[name].qparams
        assert found[name].dtype == dtype == "int16" and grid is not None
        steps = float(np.max(grid.scale)) / scale
        assert 1 - 1e-6 <= steps <= 2 + 1e-3
        assert zero != 0 or np.isclose(steps, 1.0)
