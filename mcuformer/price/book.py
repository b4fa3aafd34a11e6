"""What kernels cost on one core, and what they expand at a time within a budget of scratch bytes.

A book owns every table of costs and remembers across networks: the search plans thousands on one.
What a call costs depends on shapes, types and a few attributes alone, which are its `key`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from mcuformer.ir.graph import Op
from mcuformer.kernels import conv, linear, linear_cost
from mcuformer.kernels.costs import CORTEX_M7, CostSet
from mcuformer.operators.outline import STAGE, nominal
from mcuformer.operators.row import Figure
from mcuformer.operators.table import cost_attrs, figures_of, kernel_of
from mcuformer.price.menus import (
    Counts,
    Decided,
    Entries,
    Menu,
    attention_menus,
    linear_menus,
    panels_of,
)
from mcuformer.schedule.state import State
from mcuformer.schedule.tasks import Job
from mcuformer.util.speed import keep

T = TypeVar("T")
Key = tuple[object, ...]
# Scratch in whole eights, instructions, and bytes of weights that are read (None: of none).
CostTable = tuple[Counts, Counts, Counts | None]


@dataclass(slots=True, eq=False)
class CostBook:
    """`costs`: of the core. `figures`: by kind of operator, the instructions of a call on it, a
    function of (op, graph, rows, **choices). Everything else is what was asked for before, by `key`: menus by
    rows and whether of one head, `decided` choices, terms of linear layers, and the tables of
    price/tables.py by key, heads, extent, rows decided on, lines, tiles and budgets.
    """

    costs: CostSet = CORTEX_M7
    figures: Mapping[str, Figure] = field(init=False)
    entries: Entries = field(default_factory=Entries)
    menus: dict[tuple[Key, int, bool], Menu] = field(default_factory=dict)
    decided: dict[tuple[Key, bool], Decided] = field(default_factory=dict)
    terms: dict[Key, linear_cost.Terms] = field(default_factory=dict)
    tables: dict[Key, CostTable] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.figures = figures_of(self.costs)

    def key(self, op: Op, em: State) -> Key:
        """Equal where a kernel costs the same: kind, shapes, types, and the attributes that matter."""
        key = em.keys.get(op)
        if key is None:
            outlined = op if em.graph.stage == STAGE else nominal(op, em.type)
            parts: list[object] = [outlined.kind]
            for name in (*outlined.inputs, *outlined.outputs):
                if name is None:
                    parts.append(None)
                else:
                    t = em.values[name].type
                    parts += (t.shape, t.dtype)
            matters = cost_attrs(outlined)
            parts += [pair for pair in outlined.attrs.items() if pair[0] in matters]
            key = em.keys[op] = tuple(parts)
        return key

    def choices(self, job: Job, em: State, budget: int) -> dict[str, int]:
        """What a job does best among those choices whose scratch fits: the last entry of a menu,
        which falls in instructions."""
        if not kernel_of(job.op).menu:
            return {}
        key, rows = self.key(job.op, em), job.decided_on or job.rows
        known = self.decided.get((key, job.heads == 1))
        found = None if known is None else known.choices(rows, budget)
        if found is not None:
            return found
        best, *more = self.menu(job.op, em, rows, job.heads, key)
        for entry in more:
            if entry[1] > budget:
                break
            best = entry
        return best[0]

    def menu(self, op: Op, em: State, rows: int, heads: int, key: Key) -> Menu:
        """What the outline of `op` can choose from on `rows` rows, fastest last.

        A call for one head shares nothing with the others.
        """
        at = (key, rows, heads == 1)
        menu = self.menus.get(at)
        if menu is None:
            if em.graph.stage != STAGE:
                op = nominal(op, em.type)
            match kernel_of(op).menu:
                case "conv":
                    menu = _conv_menu(op, em, rows)
                case "linear":
                    terms = [self.terms_of(op, em, key)]
                    menu = linear_menus(terms, [(rows,)], self.entries).listed()
                case "attention":
                    together = heads != 1
                    menu = attention_menus(op, em, (rows,), together, self.entries).listed()
                case "":
                    menu = (({}, 0, self.figures[op.kind](op, em, rows)),)
            keep(self.menus, at, menu)
        return menu

    def terms_of(self, op: Op, em: State, key: Key) -> linear_cost.Terms:
        """What a linear layer costs, from its outline."""
        return self.terms.get(key) or keep(self.terms, key, linear.terms(op, em))

    def scratch_bytes(self, job: Job, em: State, choices: Mapping[str, int]) -> int:
        """Of a job whose kernel has scratch."""
        rows = job.decided_on or job.rows
        if job.lines:
            return linear.partial_scratch_bytes(job.op, em, rows, job.lines, **choices)
        size = kernel_of(job.op).scratch_bytes
        assert size is not None
        return size(job.op, em, rows, **choices)

    def instructions(self, job: Job, em: State, rows: int, choices: Mapping[str, int]) -> int:
        """Of a call on `rows` rows."""
        if job.lines:
            return linear.partial_instructions(job.op, em, rows, job.lines, **choices)
        whole = self.figures[job.op.kind](job.op, em, rows, **choices)
        return whole * job.heads // job.op.attrs["heads"] if job.heads else whole


def weight_bytes_read(job: Job, em: State, rows: Counts | int) -> Counts | int:
    """Bytes of flash that a call on `rows` rows reads; of int32 sums, the share of their lines."""
    read: Counts | int = kernel_of(job.op).weight_bytes_read(job.op, em, rows)
    return read * job.lines // job.op.attrs["segments"] if job.lines else read


def _conv_menu(op: Op, em: State, rows: int) -> Menu:
    """The rows are patches, gathered a few at a time."""
    panels = (0, *panels_of(conv.group_channels(op, em)))
    menu = [
        (p, conv.scratch_bytes(op, em, rows, panel=p), conv.instructions(op, em, rows, panel=p))
        for p in panels
    ]
    return tuple(({"panel": p}, scratch, cost) for p, scratch, cost in _worthwhile(menu))


def _worthwhile(menu: list[tuple[T, int, int]]) -> list[tuple[T, int, int]]:
    """The first entry, and by rising scratch what is faster by 1/256 than everything smaller."""
    kept = menu[:1]
    for entry in sorted(menu[1:], key=lambda e: e[1:]):
        if entry[2] * 256 < kept[-1][2] * 255:
            kept.append(entry)
    return kept
