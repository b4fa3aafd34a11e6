"""How much a kernel expands at a time within a budget of scratch bytes.

Both functions tell the emitter the next budget at which they would choose otherwise: the budgets
between need not be tried. What a panel costs depends on shapes alone and is kept from one network
to the next, since the search plans thousands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from mcuformer.ir.graph import Op
from mcuformer.kernels import conv, linear, linear_cost
from mcuformer.schedule.menus import Decided, Menu, Menus, attention_menus, linear_menus, panels_of
from mcuformer.schedule.outline import STAGE, nominal

if TYPE_CHECKING:
    from mcuformer.schedule.emit import Emitter

MOST_KEPT = 1 << 16
Key = tuple[object, ...]
_MENUS: dict[Key, Menu] = {}
_DECIDED: dict[Key, Decided] = {}
_TERMS: dict[object, linear_cost.Terms] = {}
# What a kernel's cost depends on.
_ATTRIBUTES = frozenset({
    "segments", "segment_bytes", "segment_stride", "weight_bits", "k_split", "kernel", "strides",
    "pads", "groups", "shift", "heads", "kv_heads", "table_bits", "acc_shift", "pre_shift", "p_shift",
    "k_zp", "clamp_min", "frac", "a", "windows",
})  # fmt: skip


def linear_choices(op: Op, em: Emitter, rows: int, budget: int) -> dict[str, int]:
    """The panel and tile with the fewest instructions among those whose scratch fits."""
    return _decide("linear", op, em, rows, budget)


def conv_choices(op: Op, em: Emitter, lines: int, budget: int) -> dict[str, int]:
    """The panel of a convolution for calls of `lines` lines (pixels of tokens); a depthwise one has none."""
    if op.kind == "q_dwconv2d":
        return {}
    return _decide("conv", op, em, lines, budget)


def attention_choices(op: Op, em: Emitter, rows: int, budget: int, heads: int) -> dict[str, int]:
    """Likewise how many query rows, and heads of one call, share the expansion of K and V."""
    return _decide("attention", op, em, rows, budget, heads)


def _decide(
    module: str, op: Op, em: Emitter, rows: int, budget: int, heads: int = 0
) -> dict[str, int]:
    """What is only placed takes what was decided when its region was measured, where that is known."""
    if em.graph.stage != STAGE:
        op = nominal(op, em.type)
    key = cost_key(op, em)
    known = None if em.priced else _DECIDED.get((key, heads == 1))
    found = None if known is None else known.choices(rows, budget)
    return found or _choose(menu_of(module, op, em, rows, heads, key), em, budget)


def _choose(menu: Menu, em: Emitter, budget: int) -> dict[str, int]:
    """The last entry that fits; a menu falls in instructions."""
    best = menu[0][0]
    for choices, scratch, _ in menu[1:]:
        if scratch > budget:
            em.next_budget = min(em.next_budget, scratch)
            break
        best = choices
    return best


def menu_of(
    module: str, op: Op, em: Emitter, rows: int, heads: int = 0, key: Key | None = None
) -> Menu:
    """What the outline `op` (schedule/outline.py) can choose from on `rows` rows, fastest last.

    A call for one head shares nothing with the others.
    """
    key = (key or cost_key(op, em), rows, heads == 1)
    menu = _MENUS.get(key)
    if menu is None:
        if module == "conv":
            menu = _conv_menu(op, em, rows)
        else:
            menu = menus_of(module, op, em, (rows,), heads, key[0]).listed()
        keep(_MENUS, key, menu)
    return menu


def menus_of(
    module: str, op: Op, em: Emitter, rows: Sequence[int], heads: int, key: object
) -> Menus:
    """The menus of linear layers and attentions for several row counts at once."""
    if module == "linear":
        return linear_menus(terms_of(op, em, key), rows)
    return attention_menus(op, em, rows, together=heads != 1)


def remember(key: object, heads: int, decided: Decided) -> None:
    """What `decided` says of calls whose cost key is `key`, until other row counts are asked for."""
    keep(_DECIDED, (key, heads == 1), decided)


def cost_key(op: Op, em: Emitter) -> Key:
    """Equal where a kernel costs the same: kind, shapes, types, and the attributes that matter."""
    values, attrs = em.values, op.attrs
    key: list[object] = [op.kind]
    for name in (*op.inputs, *op.outputs):
        t = None if name is None else values[name].type
        key += (None,) if t is None else (t.shape, t.dtype)
    key += [pair for pair in attrs.items() if pair[0] in _ATTRIBUTES]
    return tuple(key)


K = TypeVar("K")
T = TypeVar("T")


def keep(table: dict[K, T], key: K, value: T) -> T:
    """`value` in a table that is emptied when it grows too large."""
    if len(table) >= MOST_KEPT:
        table.clear()
    table[key] = value
    return value


def terms_of(op: Op, em: Emitter, key: object) -> linear_cost.Terms:
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

