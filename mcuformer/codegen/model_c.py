"""model.c, model.h, weights.c and weights.h of a placed program."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcuformer import __version__
from mcuformer.codegen.calls import Printer, slots
from mcuformer.codegen.constants import Constants, collect
from mcuformer.codegen.render import render
from mcuformer.ir.types import DTYPES, TensorType
from mcuformer.memory.model import MemoryPlan
from mcuformer.names import c_comment, c_identifier
from mcuformer.schedule.program import IoTensor, Program

HEADERS = {
    "linear": "mcf_linear.h",
    "layernorm": "mcf_layernorm.h",
    "attention": "mcf_attention.h",
    "conv": "mcf_conv.h",
    "maxpool": "mcf_maxpool.h",
    "elementwise": "mcf_elementwise.h",
}
MODES = {"resident": "MCF_INPUT_RESIDENT", "bands": "MCF_INPUT_BANDS", "flash": "MCF_INPUT_FLASH"}
INVOKE_NOTES = {
    "resident": "read and ctx may be NULL.",
    "bands": "read(ctx, ...) delivers the lines of the input in order.",
    "flash": "ctx is the address of the input; read may be NULL.",
}
CTYPES = {"int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t"}


@dataclass(frozen=True, slots=True)
class Sources:
    """Texts by file name, and the figures that only packing tells."""

    files: Mapping[str, str]
    model_id: bytes
    weights_bytes: int
    kernels: frozenset[str]
    fields: Mapping[str, Any]


def generate(program: Program, plan: MemoryPlan, weights: str) -> Sources:
    """`weights` is "internal" or "qspi": the section of weight arrays."""
    constants = collect(program)
    printer = Printer(program, constants, slots(program, plan))
    body = list(printer.lines())
    fields = _fields(program, plan, constants, printer, body, weights)
    kernels = frozenset(p.kernel for p in program.params.values()) | {"elementwise"}
    fields["headers"] = sorted(HEADERS[k] for k in kernels)
    files = {
        f: render(f"{f}.j2", **fields) for f in ("model.h", "model.c", "weights.h", "weights.c")
    }
    alias = f"{fields['name']}.h"
    if alias not in files:
        files[alias] = f'/* The interface of {fields["name"]}. */\n#include "model.h"\n'
    return Sources(files, fields["raw_id"], constants.weights_bytes, kernels, fields)


def _fields(
    program: Program,
    plan: MemoryPlan,
    constants: Constants,
    printer: Printer,
    body: list[str],
    weights: str,
) -> dict[str, Any]:
    name = c_identifier(program.name).lower()
    out = program.graph.type(program.graph.outputs[0])
    image = program.graph.type(program.graph.inputs[0])
    used = [u.used_bytes for u in plan.regions]
    digest = _model_id(constants, body)
    resident = program.inputs[0].buffer is not None
    return {
        "title": c_comment(program.name),
        "version": __version__,
        "name": name,
        "guard": name.upper(),
        "arena_bytes": used[0],
        "arena1_bytes": sum(used[1:]),
        "lines": program.inputs[0].lines,
        "line_bytes": program.inputs[0].line_bytes,
        "input_shape": "x".join(map(str, image.shape)),
        "input_note": _input_note(image),
        "output_bytes": out.size_bytes,
        "output_count": out.size_bytes // DTYPES[out.dtype].itemsize,
        "output_type": out.dtype,
        "output_ctype": CTYPES[out.dtype],
        "output_scale": _scale(out),
        "output_zero_point": int(out.qparams.zero_point.flat[0]) if out.qparams else 0,
        "layers": len(program.layers),
        "resident": resident,
        "invoke_note": INVOKE_NOTES[program.input_mode],
        "input_mode_macro": MODES[program.input_mode],
        "slots": sorted(printer.slots.values(), key=lambda s: (s.region, s.offset, s.name)),
        "id": ", ".join(f"0x{b:02x}" for b in digest),
        "raw_id": digest,
        "structs": [
            {"name": s.name, "ctype": s.ctype, "comment": c_comment(s.comment), "fields": s.fields}
            for s in constants.structs
        ],
        "arrays": [
            {
                "name": a.name,
                "words": -(-a.size_bytes // 4) or 1,
                "align": a.align,
                "comment": c_comment(a.comment),
                "lines": a.lines or ("0,",),
                "macro": "MCF_WEIGHTS" if a.role == "weights" else "",
            }
            for a in constants.arrays
        ],
        "weights_attribute": '__attribute__((section(".qspi")))' if weights == "qspi" else "",
        "body": body,
        "pulls": any("status = read" in line for line in body),
        "input_body": _input_body(program, printer),
        "output_address": _output(program, printer),
    }


def _model_id(constants: Constants, body: list[str]) -> bytes:
    """The head of the sha256 over constants and program: equal ids compute equal outputs."""
    digest = hashlib.sha256()
    for a in constants.arrays:
        digest.update(f"{a.name}:{a.size_bytes}\n".encode())
        digest.update("\n".join(a.lines).encode())
    for s in constants.structs:
        digest.update(repr((s.name, s.fields)).encode())
    digest.update("\n".join(body).encode())
    return digest.digest()[:16]


def _input_note(image: TensorType) -> str:
    if image.dtype == "uint8":
        return "raw uint8 pixels, channels last"
    return f"{image.dtype}, rows of channels"


def _scale(out: TensorType) -> str:
    return repr(float(out.qparams.scale.flat[0])) + "f" if out.qparams else "1.0f"


def _address(printer: Printer, tensor: IoTensor) -> str:
    slot = printer.slots[str(tensor.buffer)]
    offset = f" + {tensor.offset}" if tensor.offset else ""
    return f"({'arena1' if slot.region else '(uint8_t *)arena'} + {slot.name}{offset})"


def _input_body(program: Program, printer: Printer) -> str:
    if program.inputs[0].buffer is None:
        return "(void)arena;\n    return NULL;"
    return f"return (int8_t *){_address(printer, program.inputs[0])};"


def _output(program: Program, printer: Printer) -> str:
    return _address(printer, program.outputs[0])
