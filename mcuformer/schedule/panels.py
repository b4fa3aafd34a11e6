"""How much a kernel expands at a time within a budget of scratch bytes.

Both functions tell the emitter the next budget at which they would choose otherwise: the budgets
between need not be tried. What a panel costs depends on shapes alone and is kept from one network
to the next, since the search plans thousands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from mcuformer.ir.graph import Op
from mcuformer.kernels import attention, conv, linear

if TYPE_CHECKING:
    from mcuformer.schedule.emit import Emitter

PARTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256)
MOST_KEPT = 1 << 16
_Key = tuple[object, ...]
_Menu = tuple[tuple[dict[str, int], int, int], ...]  # (choices, scratch bytes, instructions)
_MENUS: dict[_Key, _Menu] = {}


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
)


def linear_choices(op: Op, em: Emitter, rows: int, budget: int) -> dict[str, int]:
    """The panel and tile with the fewest instructions among those whose scratch fits."""
    return _choose(_linear_menu, op, em, rows, budget)


def conv_choices(op: Op, em: Emitter, lines: int, budget: int) -> dict[str, int]:
    """The panel of a convolution for calls of `lines` lines (pixels of tokens); a depthwise one has none."""
    return {} if op.kind == "q_dwconv2d" else _choose(_conv_menu, op, em, lines, budget)


def attention_choices(op: Op, em: Emitter, rows: int, budget: int, heads: int) -> dict[str, int]:
    """Likewise how many query rows, and heads of one call, share the expansion of K and V."""
    return _choose(_one_head_menu if heads == 1 else attention.menu, op, em, rows, budget)


def _one_head_menu(op: Op, em: Emitter, rows: int) -> _Menu:
    """A call for one head shares nothing with the others."""
    return attention.menu(op, em, rows, together=False)


def _choose(
    make: Callable[[Op, Emitter, int], _Menu], op: Op, em: Emitter, rows: int, budget: int
) -> dict[str, int]:
    key = (make.__name__, *_key(op, em, rows))
    menu = _MENUS.get(key)
    if menu is None:
        menu = _keep(_MENUS, key, make(op, em, rows))
    best, _, cost = menu[0]
    for choices, scratch, instructions in menu[1:]:
        if scratch > budget:
            if instructions < cost:
                em.next_budget = min(em.next_budget, scratch)
        elif instructions < cost:
            best, cost = choices, instructions
    return best


def _key(op: Op, em: Emitter, rows: int) -> _Key:
    """Equal where a kernel costs the same: kind, shapes, types, and the attributes that matter."""
    types = [None if n is None else em.values[n].type for n in (*op.inputs, *op.outputs)]
    shapes = tuple(None if t is None else (t.shape, t.dtype) for t in types)
    attrs = op.attrs
    return (rows, op.kind, shapes, *(attrs.get(name) for name in _ATTRIBUTES))


T = TypeVar("T")


def _keep(table: dict[_Key, T], key: _Key, value: T) -> T:
    if len(table) >= MOST_KEPT:
        table.clear()
    table[key] = value
    return value


def _linear_menu(op: Op, em: Emitter, rows: int) -> _Menu:
    """No panel first; then every panel with two rows and with all rows expanded."""
    panels = _panels(op, em)
    pairs = [{"panel": p, "tile": t} for p in panels for t in dict.fromkeys((2, rows + rows % 2))]
    menu = [
        (
            choices,
            linear.scratch_bytes(op, em, rows, **choices),
            linear.instructions(op, em, rows, **choices),
        )
        for choices in ({"panel": 0, "tile": 2}, *pairs)
    ]
    return _worthwhile(menu)


def _conv_menu(op: Op, em: Emitter, rows: int) -> _Menu:
    """Likewise; the rows are patches, gathered a few at a time."""
    menu = [
        ({"panel": p}, conv.scratch_bytes(op, em, rows, panel=p),
         conv.instructions(op, em, rows, panel=p))
        for p in (0, *_panels(op, em))
    ]  # fmt: skip
    return _worthwhile(menu)


def _panels(op: Op, em: Emitter) -> dict[int, None]:
    n = em.values[op.outputs[0]].type.shape[-1]
    return dict.fromkeys(_up4(-(-n // parts)) for parts in PARTS)


def _worthwhile(menu: list[tuple[dict[str, int], int, int]]) -> _Menu:
    """The first entry, and by rising scratch what is faster by 1/256 than everything smaller."""
    kept = menu[:1]
    for entry in sorted(menu[1:], key=lambda e: e[1:]):
        if entry[2] * 256 < kept[-1][2] * 255:
            kept.append(entry)
    return tuple(kept)


def _up4(n: int) -> int:
    return -(-n // 4) * 4
