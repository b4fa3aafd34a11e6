"""Which flash holds the weights, how much of it they may take, and what happens where it is too little.

`--weights` names the region; "auto" means the internal flash while the weights leave it room for
code, else the QSPI; of several programs in one package, what all of them packed decides
(codegen/model_c.py). `--flash` limits weights and code together, wherever they lie.
"""

from __future__ import annotations

from mcuformer.compile.options import CompileOptions
from mcuformer.errors import DoesNotFitError, UsageError
from mcuformer.ir.graph import Graph
from mcuformer.operators.flash_bytes import CODE_BYTES, flash_bytes
from mcuformer.targets.board import Board, WantedFlash, WeightsFlash

CODE_ROOM_BYTES = 96 * 1024  # of internal flash, kept for code and tables where "auto" decides


def choose_flash(wanted: WantedFlash, graph: Graph, board: Board) -> WeightsFlash:
    """ "internal" or "qspi": the internal flash while the weights leave it room for code and what
    else the int `graph` keeps there."""
    if wanted == "qspi" and board.qspi_region is None:
        raise UsageError(f"{board.name} has no QSPI flash", "use --weights internal")
    if wanted != "auto" or board.qspi_region is None:
        return "internal" if wanted == "auto" else wanted
    flash = flash_bytes(graph)
    room = max(CODE_ROOM_BYTES, CODE_BYTES + flash.constants)
    return "internal" if flash.weights + room <= board.flash.size_bytes else "qspi"


def weights_room(options: CompileOptions, board: Board, constant_bytes: int) -> int | None:
    """Bytes that weight matrices may take beside code and constants; None: no limit.

    All regions that `--weights` allows are tried before a weight gives up bits.
    """
    if board.is_host:
        return options.flash and options.flash - CODE_BYTES - constant_bytes
    total = board.flash_bytes if options.flash is None else options.flash
    beside = CODE_BYTES + constant_bytes
    inside = min(total, board.flash.size_bytes) - beside
    qspi = board.qspi_region
    outside = inside if qspi is None else min(total - beside, qspi.size_bytes)
    return {"internal": inside, "qspi": outside}.get(options.weights, max(inside, outside))


def flash_error(
    options: CompileOptions, weights: str, graph: Graph, board: Board
) -> DoesNotFitError | None:
    """Weights and constants are more than their flash holds: known before anything is packed or
    linked. `graph`: the int graph."""
    flash = flash_bytes(graph)
    return packed_error(options, weights, flash.weights + flash.constants, board)


def packed_error(
    options: CompileOptions, weights: str, weights_bytes: int, board: Board
) -> DoesNotFitError | None:
    """The same of weights and constants of so many bytes."""
    hint = "use a smaller model, or a board with more flash"
    if options.weight_bits == "8":
        bits = "4" if options.adapter_mode == "fold" else "auto or 4"
        hint = f"use --weight-bits {bits}, {hint.removeprefix('use ')}"
    if options.flash is not None and weights_bytes + CODE_BYTES > options.flash:
        return DoesNotFitError(
            f"flash: weights and constants take {weights_bytes:,} B beside about {CODE_BYTES:,} B of code, "
            f"the limit is {options.flash:,} B", hint, weights_bytes,
        )  # fmt: skip
    qspi = board.qspi_region
    region = qspi if weights == "qspi" and qspi is not None else board.flash
    if weights_bytes <= region.size_bytes or board.is_host:
        return None
    return DoesNotFitError(
        f"flash: weights and constants take {weights_bytes:,} B, {region.name} of {board.name} has "
        f"{region.size_bytes:,} B: {weights_bytes - region.size_bytes:,} B missing", hint, weights_bytes,
    )  # fmt: skip


def linked_error(options: CompileOptions, used_bytes: int) -> DoesNotFitError | None:
    """The linked firmware against `--flash`."""
    if options.flash is None or used_bytes <= options.flash:
        return None
    return DoesNotFitError(
        f"flash: weights and code take {used_bytes:,} B, the limit is {options.flash:,} B",
        f"--flash {used_bytes} fits",
    )
