"""How much a kernel expands at a time within a budget of scratch bytes.

Both functions tell the emitter the next budget at which they would choose otherwise: the budgets
between need not be tried. What a panel costs depends on shapes alone and is kept from one network
to the next, since the search plans thousands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from mcuformer.ir.graph import Op
from mcuformer.kernels import attention, linear

if TYPE_CHECKING:
    from mcuformer.schedule.emit import Emitter

PARTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256)
MOST_KEPT = 1 << 16
_Key = tuple[object, ...]
_Menu = tuple[tuple[int, int, int], ...]  # (panel, scratch bytes, instructions)
_MENUS: dict[_Key, _Menu] = {}
_SIZES: dict[_Key, tuple[int, ...]] = {}
_PANELS: dict[_Key, int] = {}


_ATTRIBUTES = (
    "segments", "segment_bytes", "segment_stride", "weight_bits", "k_split", "kernel", "groups",
    "heads", "kv_heads", "table_bits", "acc_shift",
)


def linear_panel(op: Op, em: Emitter, rows: int, budget: int) -> int:
    """The panel with the fewest instructions among those whose scratch fits; 0 where none does."""
    key = _key(op, em, rows)
    menu = _MENUS.get(key)
    if menu is None:
        menu = _keep(_MENUS, key, _linear_menu(op, em, rows))
    best, _, cost = menu[0]
    for panel, scratch, instructions in menu[1:]:
        if scratch > budget:
            em.next_budget = min(em.next_budget, scratch)
        elif instructions < cost:
            best, cost = panel, instructions
    return best


def attention_panel(op: Op, em: Emitter, rows: int, budget: int) -> int:
    """`attention.best_panel`."""
    key = _key(op, em, rows)
    sizes = _SIZES.get(key)
    if sizes is None:
        sizes = _keep(_SIZES, key, _attention_sizes(op, em, rows))
    fitting = 0
    for scratch in sizes:  # falling
        if scratch <= budget:
            fitting = scratch
            break
        em.next_budget = min(em.next_budget, scratch)
    key = (*key, fitting)
    panel = _PANELS.get(key)
    if panel is None:
        panel = _keep(_PANELS, key, attention.best_panel(op, em, rows, budget))
    return panel


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
    """No panel first, then each once."""
    n = em.values[op.outputs[0]].type.shape[-1]
    panels = dict.fromkeys((0, *(_up4(-(-n // parts)) for parts in PARTS)))
    return tuple(
        (
            panel,
            linear.scratch_bytes(op, em, rows, panel=panel),
            linear.instructions(op, em, rows, panel=panel),
        )
        for panel in panels
    )


def _attention_sizes(op: Op, em: Emitter, rows: int) -> tuple[int, ...]:
    sizes = {
        attention.scratch_bytes(op, em, rows, panel=(-(-rows // parts) + 1) & ~1)
        for parts in range(1, rows // 2 + 1)
    }
    return tuple(sorted(sizes, reverse=True))


def _up4(n: int) -> int:
    return -(-n // 4) * 4
