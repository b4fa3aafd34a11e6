"""How much a kernel expands at a time within a budget of scratch bytes.

Both functions tell the emitter the next budget at which they would choose otherwise: the budgets
between need not be tried. What a panel costs depends on shapes alone and is kept from one network
to the next, since the search plans thousands.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, TypeVar

from mcuformer.ir.graph import Op
from mcuformer.kernels import conv, linear, linear_cost
from mcuformer.operators.table import cost_attrs, instructions_of, kernel_of
from mcuformer.schedule.menus import Decided, Menu, attention_menus, linear_menus, panels_of
from mcuformer.schedule.outline import STAGE, nominal

if TYPE_CHECKING:
    from mcuformer.schedule.emit import Emitter

MOST_KEPT = 1 << 16
_FRESH = count(1)
_KEYS: dict[tuple[object, ...], int] = {}
_MENUS: dict[tuple[int, int, bool], Menu] = {}
_DECIDED: dict[tuple[int, bool], Decided] = {}
_TERMS: dict[int, linear_cost.Terms] = {}


def choices_of(op: Op, em: Emitter, rows: int, budget: int, heads: int = 0) -> dict[str, int]:
    """What a call on `rows` rows does best among those choices whose scratch fits.

    What is only placed takes what was decided when its region was measured, where that is known.
    """
    key = cost_key(op, em)
    known = None if em.priced else _DECIDED.get((key, heads == 1))
    found = None if known is None else known.choices(rows, budget)
    return found or _choose(menu_of(op, em, rows, heads, key), em, budget)


def _choose(menu: Menu, em: Emitter, budget: int) -> dict[str, int]:
    """The last entry that fits; a menu falls in instructions."""
    best = menu[0][0]
    for choices, scratch, _ in menu[1:]:
        if scratch > budget:
            em.next_budget = min(em.next_budget, scratch)
            break
        best = choices
    return best


def menu_of(op: Op, em: Emitter, rows: int, heads: int = 0, key: int | None = None) -> Menu:
    """What the outline of `op` (schedule/outline.py) can choose from on `rows` rows, fastest last.

    A call for one head shares nothing with the others.
    """
    cost = key or cost_key(op, em)
    at = (cost, rows, heads == 1)
    menu = _MENUS.get(at)
    if menu is None:
        if em.graph.stage != STAGE:
            op = nominal(op, em.type)
        match kernel_of(op).menu:
            case "conv":
                menu = _conv_menu(op, em, rows)
            case "linear":
                menu = linear_menus([terms_of(op, em, cost)], [(rows,)]).listed()
            case "attention":
                menu = attention_menus(op, em, (rows,), together=heads != 1).listed()
            case "":
                menu = (({}, 0, instructions_of(op, em.costs)(op, em, rows)),)
        keep(_MENUS, at, menu)
    return menu


def remember(key: int, heads: int, decided: Decided) -> None:
    """What `decided` says of calls whose cost key is `key`, until other row counts are asked for."""
    keep(_DECIDED, (key, heads == 1), decided)


def cost_key(op: Op, em: Emitter) -> int:
    """Equal where a kernel costs the same: kind, core, shapes, types, and the attributes that matter."""
    key = em.keys.get(op)
    if key is None:
        outlined = op if em.graph.stage == STAGE else nominal(op, em.type)
        key = em.keys[op] = _number_of(outlined, em)
    return key


def _number_of(op: Op, em: Emitter) -> int:
    parts: list[object] = [op.kind, em.costs.name]
    for name in (*op.inputs, *op.outputs):
        if name is None:
            parts.append(None)
        else:
            t = em.values[name].type
            parts += (t.shape, t.dtype)
    matters = cost_attrs(op)
    parts += [pair for pair in op.attrs.items() if pair[0] in matters]
    return numbered(_KEYS, tuple(parts))


K = TypeVar("K")
T = TypeVar("T")


def keep(table: dict[K, T], key: K, value: T) -> T:
    """`value` in a table that is emptied when it grows too large."""
    if len(table) >= MOST_KEPT:
        table.clear()
    table[key] = value
    return value


def numbered(table: dict[K, int], key: K) -> int:
    """The number of `key`, never one that another had: cheaper to hash and compare than the key."""
    return table.get(key) or keep(table, key, next(_FRESH))


def terms_of(op: Op, em: Emitter, key: int) -> linear_cost.Terms:
    """What a linear layer costs, from its outline."""
    found = _TERMS.get(key)
    return found or keep(_TERMS, key, linear.terms(op, em))


def _conv_menu(op: Op, em: Emitter, rows: int) -> Menu:
    """Likewise; the rows are patches, gathered a few at a time."""
    panels = (0, *panels_of(em.values[op.outputs[0]].type.shape[-1]))
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
