"""The programs of a package in C: their structs, and the bodies that they have in common."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mcuformer.codegen.calls import Printer, slots
from mcuformer.codegen.constants import Constants, Store, collect
from mcuformer.codegen.symbols import OWN, Symbols
from mcuformer.codegen.variants import Variants, words
from mcuformer.operators.table import kernel_of


@dataclass(frozen=True, slots=True, eq=False)
class Printed:
    """A variant in C. `own`: names of the structs in which it differs from others with its body;
    `leads`: the body is printed under its name."""

    printer: Printer
    constants: Constants
    body: tuple[str, ...]
    symbols: Symbols
    own: tuple[str, ...] = ()
    leads: bool = True

    @property
    def headers(self) -> set[str]:
        return {kernel_of(p.op).header for p in self.printer.program.params.values()}


def static_arena(symbols: Symbols, number: int) -> str:
    """The library's own array in region `number` of the board's SRAM."""
    return symbols.inner(f"arena{number}", OWN)


def all_printed(variants: Variants, name: str, store: Store) -> list[Printed]:
    """Each with its body, or that of its leader: then `own` has the structs that are not the leader's."""
    symbols = [Symbols(name, word) for word in words(variants)]
    regions = range(1, len(variants.first.plan.arenas))
    arenas = ("arena", *(static_arena(Symbols(name), number) for number in regions))
    constants = [collect(v.program, s, store) for v, s in zip(variants.all, symbols, strict=True)]
    found: list[Printed] = []
    leaders = variants.leaders()
    for i, (variant, leader) in enumerate(zip(variants.all, leaders, strict=True)):
        alike = [
            [*c.struct_names.values()]
            for c, j in zip(constants, leaders, strict=True)
            if j == leader
        ]
        keys = [*constants[i].struct_names]
        apart = [n for n in range(len(keys)) if len({names[n] for names in alike}) > 1]
        own = tuple(constants[i].struct_names[keys[n]] for n in apart)
        if leader < i:
            found.append(replace(found[leader], constants=constants[i], own=own, leads=False))
            continue
        table = {keys[n]: number for number, n in enumerate(apart)}
        places = slots(variant.program, variant.plan, symbols[i])
        printer = Printer(variant.program, constants[i], places, arenas, table)
        found.append(Printed(printer, constants[i], tuple(printer.lines()), symbols[i], own))
    return [replace(p, symbols=s) for p, s in zip(found, symbols, strict=True)]
