"""Orders of rows that are loops, one in the other: they need no table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DEPTH = 4  # loops of mcf_walk
# Instructions of mcf_walk: an innermost loop; of its rows a byte, two bytes; another row, a word and a byte of it.
_LOOP, _ONE, _TWO, _ROW, _WORD, _BYTE = 58, 2.9, 3.5, 19, 4.25, 5
# Of mcf_transpose: a call, its lines by 4 and by 2, a line of tiles, one more that overlaps; a tile of 4 lines, of 2,
# and of 2 and of 6 that y has by themselves.
_CALL, _LINES, _TILES, _OVERLAP, _FOUR, _PAIR, _DENSE, _SIX = 32, 57, 25, 19, 27, 15.3, 11.4, 38.3

Nest = tuple[tuple[int, int, int], ...]
"""(count, step in x, step in y) of every loop, in rows, the longest loop innermost."""


def nest(indices: Sequence[int]) -> Nest | None:
    """The loops that give `indices` less their first one; None where DEPTH loops do not."""
    rest: NDArray = np.asarray(indices, np.int64)
    found: list[tuple[int, int, int]] = []
    while rest.size > 1:
        if len(found) == DEPTH:
            return None
        steps = np.diff(rest)
        others = np.flatnonzero(steps != steps[0])
        count = int(others[0]) + 1 if others.size else rest.size
        if rest.size % count:
            return None
        blocks = rest.reshape(-1, count)
        if (blocks != blocks[:, :1] + steps[0] * np.arange(count)).any():
            return None
        found.append((count, int(steps[0]), len(indices) // rest.size))
        rest = blocks[:, 0]
    found += [(1, 0, 0)] * (DEPTH - len(found))
    return tuple(sorted(found))


def instructions(loops: Nest, row_bytes: int) -> int:
    rows = int(np.prod([count for count, *_ in loops]))
    words, left = divmod(row_bytes, 4)
    row = {1: _ONE, 2: _TWO}.get(row_bytes, _ROW + words * _WORD + left * _BYTE)
    return round(rows // loops[-1][0] * _LOOP + rows * row)


def transpose(loops: Nest) -> Nest | None:
    """The same loops of one-byte rows, whose innermost two are lines of y and places of x: mcf_transpose
    takes them by words. None where there are none, or mcf_walk is faster."""
    places = next((loop for loop in loops if loop[1] == 1 and loop[0] >= 4), None)
    lines = next((loop for loop in loops if loop[2] == 1 and loop[0] >= 2), None)
    if places is None or lines is None or places is lines:
        return None
    outer = [loop for loop in loops if loop is not places and loop is not lines]
    found = (*outer, lines, places)
    return found if transpose_instructions(found) < instructions(loops, 1) else None


def transpose_instructions(loops: Nest) -> int:
    *outer, (lines, _, _), (places, _, step) = loops
    fours, rest = divmod(lines, 4)
    pairs, (tiles, odd) = (rest + 1) // 2, divmod(places, 4)
    each = fours * _FOUR + pairs * (_DENSE if step == 2 else _PAIR)
    if lines == step == 6:
        fours, pairs, each = 1, 0, _SIX
    row = (fours + pairs) * (_TILES + (_OVERLAP if odd else 0)) + tiles * each
    calls = _CALL + _LINES * ((fours > 0) + pairs)
    return round(calls + int(np.prod([n for n, *_ in outer])) * row)
