"""Which values of a network of blocks are whole, where they lie, and what is read before it is overwritten."""

from __future__ import annotations

import pytest
from util_models import VitConfig, vit
from util_strips import Blocks, blocks_model

from mcuformer.ir.graph import Graph
from mcuformer.operators.outline import outline
from mcuformer.quant import lower, synthetic_stats
from mcuformer.schedule.build import Skeleton, skeleton
from mcuformer.schedule.cutting import Atom, cut
from mcuformer.schedule.images import has_lines, line_counts
from mcuformer.schedule.needs import Needs
from mcuformer.schedule.regions import split
from mcuformer.schedule.ways.flow import line_graph
from mcuformer.schedule.ways.homes import found_homes, shift
from mcuformer.schedule.ways.over import trails
from mcuformer.schedule.ways.strips import Strips


def outlined(*kinds: str, size: tuple[int, int] = (48, 48), width: int = 8) -> Graph:
    graph = blocks_model(Blocks(size, kinds, width))
    return outline(lower(graph, synthetic_stats(graph), "8"))


def planned(*kinds: str) -> Skeleton:
    return skeleton(outlined(*kinds), "bands")


def whole(fr: Skeleton) -> dict[str, int]:
    return {r.target: fr.graph.type(r.target).size_bytes for r in fr.regions}


def test_no_wide_value_of_inverted_bottlenecks_is_whole() -> None:
    fr = planned("inverted", "inverted", "inverted_down", "inverted")
    assert max(whole(fr).values()) < 24 * 24 * 32 / 3
    assert any(op.kind == "q_dwconv2d" for region in fr.regions for op in region.ops)


def test_a_residual_is_written_over_what_it_is_added_to() -> None:
    fr = planned("inverted", "inverted", "inverted")
    streams = [n for n, size in whole(fr).items() if size == 24 * 24 * 8]
    assert len({fr.emitter.where[n].buffer for n in streams}) == 1


def test_a_smaller_image_may_be_written_over_the_lines_that_are_done() -> None:
    """Of two lines of x one line is made: it may have twice their bytes, and no more."""
    graph = outlined("inverted_down")
    ops = [op for op in graph.ops if op.name.startswith("blocks.0.inverted_down")]
    seen = line_graph(graph, ops[1:])
    strips = Strips.of(seen.flow, 1)
    assert all(trails(seen, strips, 0, n, 24 * 8) for n in (12 * 10, 24 * 8, 2 * 24 * 8))
    assert not trails(seen, strips, 0, 2 * 24 * 8 + 1, 24 * 8)


def test_values_of_plain_transformers_are_as_before() -> None:
    graph = vit(VitConfig())
    graph = outline(lower(graph, synthetic_stats(graph), "8"))
    regions = split(graph)
    assert cut(graph, regions, "bands") == regions


@pytest.mark.parametrize("mode", ["bands", "resident", "flash"])
def test_every_operation_is_in_one_region(mode: str) -> None:
    graph = outlined("embed", "ffn", "peg", "bottleneck", "gated")
    cut_anew = [op.name for region in cut(graph, split(graph), mode) for op in region.ops]
    assert sorted(cut_anew) == sorted(op.name for op in graph.ops)


def test_a_convolution_of_the_input_itself_must_not_be_overwritten() -> None:
    """x + dw(x): lines of x are read after the line of the result is written; a copy of them is not."""
    graph = outlined("peg")
    ops = [op for op in graph.ops if op.name.startswith("blocks.0.peg")]
    seen = line_graph(graph, ops)
    (x,) = (k for k in range(seen.flow.sources))
    assert not trails(seen, Strips.of(seen.flow, 1), x, 8 * 24, 8 * 24)
    copied = line_graph(graph, ops, (seen.names[x],))
    k = copied.copies[seen.names[x]]
    assert trails(copied, Strips.of(copied.flow, 1), k, 8 * 24, 8 * 24)
    assert not trails(copied, Strips.of(copied.flow, 1), k, 2 * 8 * 24, 8 * 24)


def test_a_need_counts_windows_and_what_lives_beside() -> None:
    graph = outlined("inverted", "inverted")
    regions, counts = split(graph), line_counts(graph.ops, graph)
    needs = Needs.of(graph, regions, counts, "bands")
    made = [r for r in cut(graph, regions, "bands") if has_lines(r.ops)]
    assert max(needs.alive) >= 24 * 24 * 32
    for region in made[1:-1]:
        need = needs.of_region(region.ops)
        assert need is not None and need[1] < 24 * 24 * 8 + 8 * 24 * 32


def test_a_depthwise_layer_adds_no_line_to_those_that_it_reads() -> None:
    """The FFN keeps two lines of its 32 channels and makes a third; the result lies over what was read, a
    pixel before it. Beside them: the stream, which the target overwrites, and one line of the norm."""
    graph = outlined("ffn")
    ops = [op for op in graph.ops if op.name.startswith("blocks.0.ffn")]
    while ops[0].kind == "reshape" or ops[-1].kind == "reshape":
        ops = ops[1:] if ops[0].kind == "reshape" else ops[:-1]
    counts = line_counts(graph.ops, graph)
    seen = line_graph(graph, ops, (), counts)
    made = seen.flow.reaches(0)
    last = len(seen.names) - 1
    homes = found_homes(
        graph,
        seen,
        lambda k: seen.flow.overlap(k, made),
        lambda k: seen.ops[k] is None or k == last,
    )
    (deep,) = (k for k, op in enumerate(seen.ops) if op is not None and op.kind == "q_dwconv2d")
    (wide,) = (k for k, op in enumerate(seen.ops) if op is not None and op.name.endswith("fc1"))
    assert homes[deep] == wide
    line, op = 24 * 32, seen.ops[deep]
    assert op is not None and shift(graph, seen.names[deep], op) == 32
    needs = Needs.of(graph, split(graph), counts, "bands")
    need = needs.of_region(ops)
    assert need is not None
    assert need[1] - needs.alive[needs.places[ops[0].name]] in range(3 * line + 32, 4 * line)


def test_rows_without_lines_are_no_region_across_a_view() -> None:
    """A row-wise chain knows no reshapes: only regions of convolutions look through them."""
    graph = outlined("inverted", "gated")
    needs = Needs.of(graph, split(graph), line_counts(graph.ops, graph), "bands")
    project, view, gate = (
        op for op in graph.ops
        if op.name.endswith(("inverted.project", "add.image", "gate"))
    )  # fmt: skip
    atoms = [Atom(project, (view,), True), Atom(gate, (), True)]
    assert [a for a, _ in needs.regions_to(1, atoms, [1, 2], 9)] == [1]
