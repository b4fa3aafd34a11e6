"""Where the layers of a plain ViT lie in a canonical float graph."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from mcuformer.ir.graph import Graph, Op

_BLOCK = (
    "layernorm (?:linear ){3,4}attention (?:linear ){1,2}add "
    "layernorm (?:linear ){1,2}unary (?:linear ){1,2}add "
)
_PLAIN = re.compile(
    "(?P<stem>(?:conv2d unary )*conv2d )reshape add (?P<token>concat )?"
    f"(?P<blocks>(?:{_BLOCK})+)layernorm (?P<mean>mean )?linear "
)


@dataclass(frozen=True, slots=True)
class BlockOps:
    """Each layer is one linear operation, or the two of its factors; `qkv` are q, k and v, behind the
    factor that they share where there is one."""

    norm1: Op
    qkv: tuple[Op, ...]
    attention: Op
    proj: tuple[Op, ...]
    norm2: Op
    fc1: tuple[Op, ...]
    bend: Op
    fc2: tuple[Op, ...]


@dataclass(frozen=True, slots=True)
class VitOutline:
    """`token`: joins the class token, which has its position in it, and the patches; None where their mean is taken."""

    convolutions: tuple[Op, ...]
    between: tuple[Op, ...]
    positions: Op
    token: Op | None
    blocks: tuple[BlockOps, ...]
    norm: Op
    head: Op


def vit_outline(graph: Graph) -> VitOutline | None:
    """None where the operations are others. Only kinds are looked at: whether they are wired as in a ViT,
    numbers have to say."""
    ops = [op for op in graph.ops if not _first_row(op)]
    found = _PLAIN.fullmatch("".join(f"{op.kind} " for op in ops))
    if not found or (found["token"] is None) == (found["mean"] is None):
        return None
    stem, blocks = (found[name].count(" ") for name in ("stem", "blocks"))
    begin = stem + 2 + (found["token"] is not None)
    return VitOutline(
        convolutions=tuple(ops[:stem:2]),
        between=tuple(ops[1:stem:2]),
        positions=ops[stem + 1],
        token=ops[stem + 2] if found["token"] else None,
        blocks=tuple(_blocks(ops[begin : begin + blocks])),
        norm=ops[begin + blocks],
        head=ops[-1],
    )


def _first_row(op: Op) -> bool:
    """In the last block, of which the class token alone is read."""
    given = op.attrs
    return op.kind == "slice" and (given["axis"], given["start"], given["stop"]) == (0, 0, 1)


def _blocks(ops: Sequence[Op]) -> Iterator[BlockOps]:
    runs = [tuple(run) for _, run in groupby(ops, key=lambda op: op.kind)]
    for i in range(0, len(runs), 10):
        norm1, qkv, attention, proj, _, norm2, fc1, bend, fc2, _ = runs[i : i + 10]
        yield BlockOps(norm1[0], qkv, attention[0], proj, norm2[0], fc1, bend[0], fc2)
