"""Buffers that play the same part in equal blocks share one placement: one block is searched.

Two buffers are alike when size, alignment and hint agree and their conflicts are with alike buffers
at the same distances (the colour refinement of graph isomorphism, a few rounds). Merging can only
restrict: members of a group must be free of conflicts with each other, and the group keeps apart
from everything that any member keeps apart from.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from mcuformer.memory.conflicts import Item

ROUNDS = 4  # how far apart two differences may be and still tell buffers apart


def collapse(found: Sequence[Item]) -> tuple[list[Item], list[int]]:
    """Items that stand for groups, and the group of every given item."""
    group = _groups(found, _colours(found))
    merged: dict[int, Item] = {}
    for i, item in enumerate(found):
        one = merged.setdefault(group[i], Item(item.buffer, item.lives, {}))
        for j, gaps in item.against.items():
            known = one.against.setdefault(group[j], [])
            known += [gap for gap in gaps if gap not in known]
    return [merged[g] for g in range(len(merged))], group


def _colours(found: Sequence[Item]) -> list[int]:
    keys: list[object] = [
        (i.buffer.size_bytes, i.buffer.align, i.buffer.hint, len(i.lives)) for i in found
    ]
    colour = _numbered(keys)
    for _ in range(ROUNDS):
        keys = [
            (colour[i], frozenset((colour[j], *gaps) for j, gaps in item.against.items()))
            for i, item in enumerate(found)
        ]
        before, colour = colour, _numbered(keys)
        if len(set(before)) == len(set(colour)):
            break
    return colour


def _numbered(keys: Sequence[object]) -> list[int]:
    table: dict[object, int] = {}
    return [table.setdefault(key, len(table)) for key in keys]


def _groups(found: Sequence[Item], colour: Sequence[int]) -> list[int]:
    """Members of a colour, in order of time, each in the first group it has no conflict with."""
    teams: dict[int, list[set[int]]] = defaultdict(list)
    begin = [min((live.first for live in item.lives), default=0) for item in found]
    order = sorted(range(len(found)), key=begin.__getitem__)
    team: list[set[int]] = [set()] * len(found)
    for i in order:
        options = teams[colour[i]]
        mine = next((t for t in options if not t & found[i].against.keys()), None)
        if mine is None:
            options.append(mine := set())
        mine.add(i)
        team[i] = mine
    return _numbered([id(t) for t in team])
