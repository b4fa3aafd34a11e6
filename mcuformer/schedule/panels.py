"""How much a kernel expands at a time within a budget of scratch bytes.

Both functions tell the emitter the next budget at which they would choose otherwise: the budgets
between need not be tried. What a panel costs depends on shapes alone and is kept from one network
to the next, since the search plans thousands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from mcuformer.ir.graph import Op
from mcuformer.kernels import attention, conv, linear, linear_cost
from mcuformer.schedule.outline import nominal

if TYPE_CHECKING:
    from mcuformer.schedule.emit import Emitter

PARTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256)
MOST_KEPT = 1 << 16
Key = tuple[object, ...]
Menu = tuple[tuple[dict[str, int], int, int], ...]  # (choices, scratch bytes, instructions)
_MENUS: dict[Key, Menu] = {}
_TERMS: dict[object, linear_cost.Terms] = {}


_ATTRIBUTES = (
    "segments",
    "segment_bytes",
    "segment_stride",
    "weight_bits",
    "k_split",
    "kernel",
    "strides",
    "pads",
    "groups",
    "heads",
    "kv_heads",
    "table_bits",
    "acc_shift",
    "pre_shift",
    "p_shift",
    "k_zp",
    "clamp_min",
    "frac",
    "a",
    "windows",
)


def linear_choices(op: Op, em: Emitter, rows: int, budget: int) -> dict[str, int]:
    """The panel and tile with the fewest instructions among those whose scratch fits."""
    return _choose(menu_of("linear", nominal(op, em.type), em, rows), em, budget)


def conv_choices(op: Op, em: Emitter, lines: int, budget: int) -> dict[str, int]:
    """The panel of a convolution for calls of `lines` lines (pixels of tokens); a depthwise one has none."""
    if op.kind == "q_dwconv2d":
        return {}
    return _choose(menu_of("conv", nominal(op, em.type), em, lines), em, budget)


def attention_choices(op: Op, em: Emitter, rows: int, budget: int, heads: int) -> dict[str, int]:
    """Likewise how many query rows, and heads of one call, share the expansion of K and V."""
    return _choose(menu_of("attention", nominal(op, em.type), em, rows, heads), em, budget)


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
        if module == "linear":
            menu = _linear_menu(terms_of(op, em, key[0]), rows)
        elif module == "conv":
            menu = _conv_menu(op, em, rows)
        else:
            menu = attention.menu(op, em, rows, together=heads != 1)
        keep(_MENUS, key, menu)
    return menu


def cost_key(op: Op, em: Emitter) -> Key:
    """Equal where a kernel costs the same: kind, shapes, types, and the attributes that matter."""
    values, attrs = em.values, op.attrs
    types = [None if n is None else values[n].type for n in (*op.inputs, *op.outputs)]
    shapes = tuple([None if t is None else (t.shape, t.dtype) for t in types])
    return (op.kind, shapes, *[attrs.get(name) for name in _ATTRIBUTES])


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


def _linear_menu(terms: linear_cost.Terms, rows: int) -> Menu:
    """No panel first; then every panel with two rows and with all rows expanded."""
    panels = _panels(terms.n)
    pairs = [(p, t) for p in panels for t in dict.fromkeys((2, rows + rows % 2))]
    menu = [
        ((p, t), terms.scratch_bytes(rows, p, t), terms.instructions(rows, p, t))
        for p, t in ((0, 2), *pairs)
    ]
    return tuple(
        ({"panel": p, "tile": t}, scratch, cost) for (p, t), scratch, cost in _worthwhile(menu)
    )


def _conv_menu(op: Op, em: Emitter, rows: int) -> Menu:
    """Likewise; the rows are patches, gathered a few at a time."""
    panels = (0, *_panels(em.values[op.outputs[0]].type.shape[-1]))
    menu = [
        (p, conv.scratch_bytes(op, em, rows, panel=p), conv.instructions(op, em, rows, panel=p))
        for p in panels
    ]
    return tuple(({"panel": p}, scratch, cost) for p, scratch, cost in _worthwhile(menu))


def _panels(channels: int) -> dict[int, None]:
    return dict.fromkeys(_up4(-(-channels // parts)) for parts in PARTS)


def _worthwhile(menu: list[tuple[T, int, int]]) -> list[tuple[T, int, int]]:
    """The first entry, and by rising scratch what is faster by 1/256 than everything smaller."""
    kept = menu[:1]
    for entry in sorted(menu[1:], key=lambda e: e[1:]):
        if entry[2] * 256 < kept[-1][2] * 255:
            kept.append(entry)
    return kept


def _up4(n: int) -> int:
    return -(-n // 4) * 4
