"""Residual sums in the order of windows: the same numbers, and one gather between two blocks."""

import numpy as np
import pytest
from test_quant_rewrites import applied, kinds, result
from util_windows import partition, swin

from mcuformer.ir.graph import Graph
from mcuformer.passes.dedupe import dedupe
from mcuformer.quant.rewrites.norm_after_selection import norm_after_selection
from mcuformer.quant.rewrites.stay_in_windows import stay_in_windows


@pytest.mark.parametrize("bias", ["", "table", "mask"])
def test_one_gather_from_block_to_block(bias: str) -> None:
    graph = dedupe(norm_after_selection(swin(4, 2, 6, 2, (0, 1, 0), 1, bias)))
    assert kinds(graph).count("gather") == 6
    done = applied(stay_in_windows, graph)
    gathers = [op for op in done.ops if op.kind == "gather"]
    assert len(gathers) == 4  # in, twice from order to order, and out
    first, second, _, last = (np.array(op.attrs["indices"]) for op in gathers)
    assert (first == partition(4, 2, 0)).all()
    assert (first[second] == partition(4, 2, 1)).all()
    assert (last == np.argsort(partition(4, 2, 0))).all()


def test_a_partition_that_undoes_a_reverse_is_no_gather() -> None:
    graph = dedupe(norm_after_selection(swin(4, 2, 6, 2, (0, 0), 1)))
    done = applied(stay_in_windows, graph)
    assert kinds(done).count("gather") == 2  # in and out


def test_a_stream_that_is_wanted_in_its_own_order_is_put_back() -> None:
    graph = dedupe(norm_after_selection(swin(4, 2, 6, 2, (0, 1), 1)))
    made = [op.outputs[0] for op in graph.ops if op.name == "out0"]
    two = graph.replace(outputs=(*graph.outputs, *made))
    done = stay_in_windows(two)
    for turned, before in ((done, two), (_turned(done), _turned(two))):
        np.testing.assert_allclose(result(turned), result(before), rtol=1e-3, atol=1e-5)


def _turned(graph: Graph) -> Graph:
    return graph.replace(outputs=graph.outputs[::-1])


def test_without_a_sum_nothing_moves() -> None:
    """Rows that are put back for another use than the sum with what was parted."""
    graph = dedupe(norm_after_selection(swin(4, 2, 6, 2, (0,), 1)))
    ops = [op.replace(kind="mul") if op.name == "sum0" else op for op in graph.ops]
    assert kinds(stay_in_windows(graph)).count("gather") == 2
    lone = graph.replace(ops=tuple(op for op in ops if op.kind != "attention"))
    assert stay_in_windows(lone) is lone
