"""A cost book is one core's and owns what it remembers."""

from collections.abc import Callable
from dataclasses import fields
from random import Random

import pytest

from mcuformer.kernels.costs import CORTEX_M4
from mcuformer.plan.fit import curve
from mcuformer.price.book import CostBook
from mcuformer.schedule.build import skeleton
from mcuformer.schedule.tasks import Job
from mcuformer.search.outline import whole_outline
from mcuformer.search.space import load_space

BUDGETS = (0, 512, 4096, 65536)


@pytest.fixture(scope="module")
def graph():
    space = load_space("tiny")
    return whole_outline(space.decode(space.draw(Random("book"))))


def slower(cost: Callable[..., int]) -> Callable[..., int]:
    return lambda *args, **choices: 2 * cost(*args, **choices)


def test_figures_are_those_of_the_books_core(graph) -> None:
    slow = CostBook(CORTEX_M4)
    slow.figures = {**slow.figures, "q_layernorm": slower(slow.figures["q_layernorm"])}
    usual, other = (curve(graph, "bands", book) for book in (CostBook(CORTEX_M4), slow))
    at = [points[0].instructions for points in (usual.points, other.points)]
    assert at[0] < at[1] < 2 * at[0]


def test_nothing_is_remembered_outside_of_a_book(graph) -> None:
    first, second = CostBook(), CostBook()
    points = curve(graph, "bands", first).points
    assert first.tables and first.decided and not second.tables and not second.decided
    assert not any(
        getattr(first, f.name) is getattr(second, f.name)
        for f in fields(CostBook)
        if f.name != "costs"
    )
    again = curve(graph, "bands", first).points
    assert [(p.limit_bytes, p.instructions) for p in points] == [
        (p.limit_bytes, p.instructions) for p in again
    ]


def test_what_tables_decided_is_what_menus_say(graph) -> None:
    """A placed job takes the choice that its region was measured with."""
    fr, book = skeleton(graph, "bands"), CostBook()
    curve(graph, "bands", book)
    em, seen = fr.fresh(), 0
    for op in (op for op in graph.ops if op.kind == "q_linear"):
        known = book.decided.get((book.key(op, em), False))
        for rows in known.rows if known else ():
            for budget in BUDGETS:
                job = Job(op, rows)
                assert book.choices(job, em, budget) == CostBook().choices(job, fr.fresh(), budget)
                seen += 1
    assert seen > 20
