"""model.c, weights.c and their headers of a placed program."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcuformer import __version__
from mcuformer.codegen.calls import Printer
from mcuformer.codegen.constants import (
    WORDS_PER_LINE,
    CWords,
    Store,
    outside,
    room_bytes,
)
from mcuformer.codegen.interface import TensorPort, grid_macros, labels, ports
from mcuformer.codegen.lines import commented, numbers
from mcuformer.codegen.printed import Printed, all_printed, static_arena
from mcuformer.codegen.render import render
from mcuformer.codegen.runtime import runtime_version
from mcuformer.codegen.symbols import OWN, Symbols
from mcuformer.codegen.variants import Variants
from mcuformer.program.program import IoTensor, Program
from mcuformer.targets.board import Board, WantedFlash, WeightsFlash
from mcuformer.util.names import c_comment

HEADERS = ("mcf_check.h", "mcf_elementwise.h")  # the latter has the copies of moves
MODE_MACROS: Mapping[str, str] = {
    "resident": "MCF_INPUT_RESIDENT",
    "bands": "MCF_INPUT_BANDS",
    "flash": "MCF_INPUT_FLASH",
}
READ_ARGS = ("mcf_read_lines_t read", "void *ctx")
WRITE_ARGS = ("mcf_write_lines_t write", "void *write_ctx")
INVOKE_NOTES: Mapping[str, str] = {
    "resident": "read and ctx may be NULL.",
    "bands": "read(ctx, ...) delivers the lines of input 0 in order.",
    "flash": "ctx is the address of input 0; read may be NULL.",
}


@dataclass(frozen=True, slots=True)
class Sources:
    """Texts by file name, and what only packing tells: figures, and the flash that holds the `weights`.
    `name` is the C name.
    """

    name: str
    files: Mapping[str, str]
    model_id: bytes
    weights: WeightsFlash
    weights_bytes: int
    fields: Mapping[str, Any]


def generate(variants: Variants, board: Board, weights: WantedFlash, name: str) -> Sources:
    """`weights`: the flash of weight arrays; "auto" is the internal one where all that was packed has
    room there beside code. `name`: the prefix in C."""
    symbols = Symbols(name)
    store = Store(variants.blob(), symbols.inner("weights", OWN), variants.kind == "task")
    printed = all_printed(variants, name, store)
    program = variants.first.program
    digest = _model_id(store, printed)
    pulls = any(call.kernel == "read_lines" for call, _ in program.calls())
    writes = program.output_mode == "lines"
    calls = sum(len(list(v.program.calls())) for v in variants.all)
    room = room_bytes(board, [p.constants for p in printed], calls)
    if weights == "auto":
        packed = sum(a.size_bytes for a in store.arrays)
        weights = "qspi" if packed > room and board.qspi_region is not None else "internal"
    fields = {
        **_names(program, symbols),
        **_memory(variants, board, symbols),
        **_interface(variants, printed, symbols),
        **_variants(variants, printed, symbols),
        **_data(store, printed, weights, room),
        "headers": sorted({*(h for p in printed for h in p.headers), *HEADERS}),
        "offsets": list(
            commented([row for p in printed if p.leads for row in _offsets(p.printer)])
        ),
        "id": list(numbers((f"0x{b:02x}" for b in digest), 16)),
        "words_per_line": WORDS_PER_LINE,
        "pulls": pulls,
        "writes": writes,
        "reads_ctx": pulls or program.input_mode == "flash",
    }
    files = {f: render(f"{f}.j2", **fields) for f in ("model.c", "weights.c", "mcf_weights.h")}
    header = render("model.h.j2", **fields)
    files |= {"model.h": header, f"{name}.h": header}
    return Sources(name, files, digest, weights, store.weights_bytes, fields)


def _offsets(printer: Printer) -> list[tuple[str, str]]:
    slots = sorted(printer.slots.values(), key=lambda s: (s.region, s.offset, s.name))
    return [(f"{s.name} = {s.offset},", f"{s.size_bytes} B: {s.comment}") for s in slots]


def _names(program: Program, symbols: Symbols) -> dict[str, Any]:
    return {
        "title": c_comment(program.name),
        "version": __version__,
        "runtime_version": runtime_version(),
        "name": symbols.prefix,
        "guard": symbols.macro,
        "tensor_bytes": symbols.inner("tensor_bytes", OWN),
    }


def _memory(variants: Variants, board: Board, symbols: Symbols) -> dict[str, Any]:
    return {
        "arena_bytes": variants.arena_bytes,
        "static_arenas": [
            {"number": number, "bytes": size, "name": static_arena(symbols, number)}
            for number, size in variants.static_arenas.items()
        ],
        "stack_bytes": board.stack_bytes,
        "stack_source": (
            f"What the board file of {c_comment(board.name, 40)} reserves for this",
            "library and its caller; emulators check it.",
        ),
        "layers": variants.layers,
    }


def _variants(variants: Variants, printed: Sequence[Printed], symbols: Symbols) -> dict[str, Any]:
    """What templates/model.c.j2 needs of each program, and of the choice between them."""
    leaders = variants.leaders()
    return {
        "kind": variants.kind,
        "owns": any(p.own for p in printed),
        "main": variants.main,
        "state": symbols.inner("state", OWN),
        "state_at": variants.state_at,
        "variants": [
            {
                "label": c_comment(v.label),
                "body": p.body,
                "run": printed[leader].symbols.inner("run", OWN),
                "leads": p.leads,
                "own": p.own,
                "own_name": p.symbols.inner("structs", OWN),
                "arena_bytes": v.plan.arenas[0].used_bytes,
                "outputs": _grids(v.program),
                "places": [
                    [_address(p.printer, tensor) for tensor in tensors]
                    for tensors in (v.program.inputs, v.program.outputs)
                ],
            }
            for v, p, leader in zip(variants.all, printed, leaders, strict=True)
        ],
    }


def _grids(program: Program) -> list[dict[str, str]]:
    """Scale and zero point of every output, and how many numbers it has, as macros."""
    types = [program.graph.type(tensor.value) for tensor in program.outputs]
    return [{**grid_macros(t), "COUNT": str(math.prod(t.shape))} for t in types]


def _interface(variants: Variants, printed: Sequence[Printed], symbols: Symbols) -> dict[str, Any]:
    program, printer = variants.first.program, printed[variants.main].printer
    inputs, outputs = ports(program, symbols.macro)
    sizes = [(f"{p.macros['BYTES']},", f"{p.role} {p.index}") for p in inputs + outputs]
    writes = program.output_mode == "lines"
    own = ("const void *const *own",) if any(p.own for p in printed) else ()
    if writes:
        sizes += [_line_bytes(port) for port in outputs]
    return {
        "sizes": list(commented(sizes)),
        "inputs": [_port(port, printer) for port in inputs],
        "outputs": [_port(port, printer) for port in outputs],
        "labels": labels(program) if _same_classes(variants) else None,
        "resident": program.inputs[0].buffer is not None,
        "invoke_args": lambda arena: (
            f"void *{arena}",
            *READ_ARGS,
            *(WRITE_ARGS if writes else ()),
        ),
        "run_args": ("uint8_t *const arena", *READ_ARGS, *(WRITE_ARGS if writes else ()), *own),
        "run_names": ", ".join(
            ("arena", "read", "ctx", *(("write", "write_ctx") if writes else ()))
        ),
        "invoke_note": INVOKE_NOTES[program.input_mode],
        "write_note": _write_note(outputs),
        "leaving": [port.index for port in outputs if port.tensor.buffer is None],
        "input_mode_macro": MODE_MACROS[program.input_mode],
    }


def _same_classes(variants: Variants) -> bool:
    """Tasks have classes of their own, whose names no table of one would tell."""
    return len({repr(labels(v.program)) for v in variants.all}) == 1


def _write_note(outputs: Sequence[TensorPort]) -> str:
    """What the caller's function gets."""
    leaving = [str(port.index) for port in outputs if port.tensor.buffer is None]
    which = f"output {leaving[0]}" if len(leaving) == 1 else f"outputs {', '.join(leaving)}"
    return f"write(write_ctx, ...) gets the lines of {which} as they are made."


def _line_bytes(port: TensorPort) -> tuple[str, str]:
    """Of an output that leaves by lines; 0 of one that stays in the arena."""
    if port.tensor.buffer is None:
        return f"{port.macros['LINE_BYTES']},", f"a line of output {port.index}"
    return "0,", f"output {port.index} stays in the arena"


def _port(port: TensorPort, printer: Printer) -> dict[str, Any]:
    return {
        "role": port.role,
        "index": port.index,
        "macros": port.macros,
        "comment": port.comment,
        "title": c_comment(port.tensor.value),
        "address": _address(printer, port.tensor),
    }


def _address(printer: Printer, tensor: IoTensor) -> str:
    if tensor.buffer is None:
        return "NULL"
    slot = printer.slots[tensor.buffer]
    offset = f" + {tensor.offset}" if tensor.offset else ""
    base = printer.arena(slot) if slot.region else "(uint8_t *)arena"
    return f"{base} + {slot.name}{offset}"


def _data(store: Store, printed: Sequence[Printed], weights: str, room: int) -> dict[str, Any]:
    away = outside(store.arrays, room if weights == "qspi" else 1 << 40)
    return {
        "structs": [
            {"name": s.name, "ctype": s.ctype, "comment": s.comment, "fields": s.fields}
            for p in printed
            for s in p.constants.structs
        ],
        "arrays": [_array(a, a.name in away) for a in store.arrays],
        "weights_attribute": '__attribute__((section(".qspi")))' if weights == "qspi" else "",
    }


def _array(array: CWords, away: bool) -> dict[str, Any]:
    return {
        "name": array.name,
        "words": -(-array.size_bytes // 4) or 1,
        "align": array.align,
        "comment": array.comment,
        "lines": array.lines or ("0,",),
        "macro": "MCF_WEIGHTS" if away else "",
    }


def _model_id(store: Store, printed: Sequence[Printed]) -> bytes:
    """The head of the sha256 over constants and programs: equal ids compute equal outputs."""
    digest = hashlib.sha256()
    for a in store.arrays:
        digest.update(f"{a.name}:{a.size_bytes}\n".encode())
        digest.update("\n".join(a.lines).encode())
    for p in printed:
        digest.update(repr(p.own).encode() if p.own else b"")
        for s in p.constants.structs:
            digest.update(repr((s.name, s.fields)).encode())
        digest.update("\n".join(p.body).encode())
    return digest.digest()[:16]
