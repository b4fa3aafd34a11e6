"""Faults planted one at a time in compiler and C: every one has to be found among the draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

from fuzz.choices import Choices
from fuzz.draws import Drawn, draw
from fuzz.follow import Outcome, follow
from fuzz.machine import Machine
from mcuformer.codegen.runtime import copy_runtime
from mcuformer.ir.epilogue import Residual
from mcuformer.ir.graph import Op
from mcuformer.memory import lifetimes
from mcuformer.operators.table import INT_OPS
from mcuformer.program.program import Program
from mcuformer.quant import lower_linear
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.places import Loc
from mcuformer.schedule.tasks import Task
from mcuformer.schedule.ways import conv, join

Patch = Any  # what mock.patch gives: a context manager


@dataclass(frozen=True, slots=True)
class Fault:
    """`patches` makes new ones for every use."""

    name: str
    patches: Callable[[], list[Patch]]

    @contextmanager
    def planted(self) -> Iterator[None]:
        with ExitStack() as stack:
            for patch in self.patches():
                stack.enter_context(patch)
            yield


def _in_c(file: str, right: str, wrong: str) -> Callable[[], list[Patch]]:
    """The runtime with one place changed."""

    def copied(directory: Path) -> list[str]:
        names = copy_runtime(directory)
        path = next(directory.rglob(file))
        text = path.read_text(encoding="utf-8")
        assert right in text, f"{file} holds no {right!r}"
        path.write_text(text.replace(right, wrong, 1), encoding="utf-8")
        return names

    return lambda: [mock.patch("mcuformer.codegen.package.copy_runtime", copied)]


def _lost_output() -> list[Patch]:
    right = lifetimes.lifetimes

    def wrong(program: Program) -> Mapping[str, tuple[lifetimes.Live, ...]]:
        return right(replace(program, outputs=program.outputs[:1]))

    return [mock.patch("mcuformer.memory.placement.lifetimes", wrong)]


def _short_lifetime() -> list[Patch]:
    right = lifetimes._Walk.add

    def wrong(self: Any, scope: Any, span: Any, first: int, last: int) -> None:
        right(self, scope, span, first, max(first, last - 1))

    return [mock.patch.object(lifetimes._Walk, "add", wrong)]


def _stale_line() -> list[Patch]:
    right = conv._Chain._copy

    def wrong(self: Any, k: int, x: Loc, y: Loc, lines: int) -> Task:
        return right(self, k, x, y, max(1, lines - 1))

    return [mock.patch.object(conv._Chain, "_copy", wrong)]


def _equal_parts() -> list[Patch]:
    """As if all parts of a join before one were as large as it."""

    def wrong(em: TaskEmitter, op: Op, whole: Loc) -> Iterator[tuple[str, Loc]]:
        for i, name in enumerate(map(str, op.inputs)):
            if op.attrs["axis"] == 0:
                yield name, whole.at(i * em.values[name].type.shape[0])
            else:
                yield name, whole.columns(i * em.row_bytes(name), em.row_bytes(name))

    return [mock.patch.object(join, "places", wrong)]


def _zero_padding() -> list[Patch]:
    right = lower_linear._padding

    def wrong(ctx: Any, op: Op) -> dict[str, Any]:
        attrs = right(ctx, op)
        if "pad_value" in attrs:
            attrs["pad_value"] = (0,) * len(attrs["pad_value"])
        return attrs

    return [mock.patch.object(lower_linear, "_padding", wrong)]


def _residual_without_zero() -> list[Patch]:
    right = lower_linear._residual

    def wrong(ctx: Any, op: Op) -> Residual | None:
        found = right(ctx, op)
        return found and replace(found, zero=0 * found.zero)

    return [mock.patch.object(lower_linear, "_residual", wrong)]


def _uncut_operand() -> list[Patch]:
    row = INT_OPS["q_linear"]
    operands = tuple(replace(o, along=None) if o.name == "bias" else o for o in row.operands)
    return [mock.patch.dict(INT_OPS, {row.kind: replace(row, operands=operands)})]


FAULTS = (
    Fault("the row stride of the first operand taken for both of an addition", _in_c(
        "mcf_add.c", "b = (const uint8_t *)b + b_stride", "b = (const uint8_t *)b + a_stride")),
    Fault("a pool that does not end at the right border", _in_c(
        "mcf_maxpool.c", "(end < p->width ? end : p->width)", "end")),
    Fault("the zero points of a product swapped", _in_c(
        "mcf_add.c", "(mcf_load(a, c, ta) - a_zp) * (mcf_load(b, c, tb) - b_zp)",
        "(mcf_load(a, c, ta) - b_zp) * (mcf_load(b, c, tb) - a_zp)")),
    Fault("saturation at -127", _in_c("mcf_base.h", "mcf_clamp(v, -128, 127)", "mcf_clamp(v, -127, 127)")),
    Fault("outputs but the first are not kept", _lost_output),
    Fault("a value lives one call too short", _short_lifetime),
    Fault("a line of a convolution's window is not kept", _stale_line),
    Fault("parts of a join are taken to be equal", _equal_parts),
    Fault("padding with 0 instead of the zero point", _zero_padding),
    Fault("the zero point of a residual forgotten", _residual_without_zero),
    Fault("an operand that is not cut with its output", _uncut_operand),
)  # fmt: skip


def found_by(fault: Fault, drawn: Drawn, machine: Machine) -> Outcome | None:
    """How the draw fails with the fault, if it does only with it."""
    with fault.planted():
        outcome = follow(drawn, "host", machine)
    if outcome.result != "failed" or follow(drawn, "host", machine).result == "failed":
        return None
    return outcome


def search(fault: Fault, seed: int, count: int, machine: Machine) -> str | None:
    """After how many draws it was found, and by what."""
    for index in range(count):
        outcome = found_by(fault, draw(Choices.fresh(seed, index)), machine)
        if outcome is not None:
            message = outcome.message.splitlines()[0][:100]
            return f"draw {index + 1:,}, by {outcome.stage}: {message}"
    return None


def find_all(seed: int, count: int) -> int:
    """0 when every fault was found."""
    machine, lost = Machine(), 0
    for fault in FAULTS:
        found = search(fault, seed, count, machine)
        lost += found is None
        print(f"{fault.name}: {found or f'NOT FOUND in {count:,} draws'}", flush=True)
    print(f"{len(FAULTS) - lost} of {len(FAULTS)} planted faults found")
    return bool(lost)
