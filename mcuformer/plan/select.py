"""What `--optimize`, `--ram` and `--max-instructions` mean on the trade-off curve."""

from __future__ import annotations

from collections.abc import Sequence

from mcuformer.errors import DoesNotFitError
from mcuformer.plan.curve import CurvePoint

MODES = ("balanced", "ram", "speed")
# `balanced` takes the least SRAM that costs this much over the fastest schedule (5 % in executed
# instructions, less a margin for the cost model) ...
SMALL_PRICE = 1.047
# ... or this much where a low-rank attention runs from its latent, which is what it was factorised for
# (20 %, less the margin).
LATENT_PRICE = 1.199
# `ram` stops where the last bytes would cost more than this over the fastest schedule.
DEAREST = 1.9
# It reads at most this times the weights that the fastest schedule reads, where its bytes allow it.
MOST_READS = 8


def select(
    points: Sequence[CurvePoint],
    optimize: str,
    limit_bytes: int,
    max_instructions: int | None = None,
) -> CurvePoint:
    """The point that the user asked for; `points` rise in instructions and fall in bytes.

    Raises DoesNotFitError where no point meets both limits; the message names the nearest one.
    """
    legal = [
        p
        for p in points
        if p.limit_bytes <= limit_bytes
        and (max_instructions is None or p.instructions <= max_instructions)
    ]
    if not legal:
        raise DoesNotFitError(_nothing_fits(points, limit_bytes, max_instructions))
    fastest = min(legal, key=lambda p: p.instructions)
    if optimize == "speed":
        return fastest
    if optimize == "ram":
        affordable = [p for p in legal if p.instructions <= DEAREST * fastest.instructions]
        return min(affordable, key=lambda p: p.limit_bytes)
    near = [
        p
        for p in legal
        if p.instructions <= (LATENT_PRICE if p.latent else SMALL_PRICE) * fastest.instructions
    ]
    return min(near, key=lambda p: p.limit_bytes)


def reads_much(points: Sequence[CurvePoint], point: CurvePoint) -> bool:
    """Whether `point` reads more weights than `ram` should, of a model with these `points`."""
    fastest = min(points, key=lambda p: p.instructions)
    return point.weight_bytes_read > MOST_READS * fastest.weight_bytes_read


def thriftier(
    points: Sequence[CurvePoint],
    thrifty: Sequence[CurvePoint],
    point: CurvePoint,
    limit_bytes: int,
    max_instructions: int | None = None,
) -> CurvePoint:
    """In place of `point`, which `select` took for `ram`, the fastest of the `thrifty` in as many bytes
    that does not read too much; `point` where none does at its price."""
    most = DEAREST * select(points, "speed", limit_bytes, max_instructions).instructions
    if max_instructions is not None:
        most = min(most, max_instructions)
    found = [
        p
        for p in thrifty
        if p.limit_bytes <= point.limit_bytes
        and p.instructions <= most
        and not reads_much(points, p)
    ]
    return min(found, key=lambda p: p.instructions, default=point)


def _nothing_fits(
    points: Sequence[CurvePoint], limit_bytes: int, max_instructions: int | None
) -> str:
    small = min(points, key=lambda p: p.limit_bytes)
    if small.limit_bytes > limit_bytes:
        return (
            f"the smallest schedule keeps {small.limit_bytes:,} B in the arena, {limit_bytes:,} B are left: "
            f"{small.limit_bytes - limit_bytes:,} B missing"
        )
    within = [p for p in points if p.limit_bytes <= limit_bytes]
    quick = min(within, key=lambda p: p.instructions)
    return (
        f"the fastest schedule within {limit_bytes:,} B executes about {quick.instructions:,} instructions, "
        f"the limit is {max_instructions:,}"
    )
