"""The programs of a package: one, or several over the same weights, which one chooses at run time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mcuformer.codegen.blob import Blob, blob_of
from mcuformer.codegen.constants import matrices, pack
from mcuformer.ir.graph import Graph
from mcuformer.memory.model import MemoryPlan
from mcuformer.program.calls import Loop, Step
from mcuformer.program.program import Program

STATE_BYTES = 8  # of the arena, behind all plans: which program runs


@dataclass(frozen=True, slots=True, eq=False)
class Variant:
    """A placed program; `label` says what it is to a reader ("" where there is one)."""

    program: Program
    plan: MemoryPlan
    label: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Variants:
    """In the order in which they are numbered; `main` is chosen after init. `kind`: the word that names
    them in C: "width" or "task"."""

    all: tuple[Variant, ...]
    main: int = 0
    kind: str = ""

    @property
    def several(self) -> bool:
        return len(self.all) > 1

    @property
    def first(self) -> Variant:
        """That of `main`."""
        return self.all[self.main]

    def leaders(self) -> list[int]:
        """For each the first one that runs the same steps on the same places: tasks differ in constants."""
        if self.kind != "task":
            return [*range(len(self.all))]
        keys = [_course(v) for v in self.all]
        return [keys.index(key) for key in keys]

    @property
    def layers(self) -> int:
        return max(len(v.program.layers) for v in self.all)

    @property
    def arena_bytes(self) -> int:
        """Of the first region, with the state."""
        return self._joint[0]

    @property
    def state_at(self) -> int:
        """Where in the arena the state lies."""
        return self._joint[0] - STATE_BYTES

    @property
    def static_arenas(self) -> dict[int, int]:
        """Bytes by the region's number, of the other regions that are used."""
        return {number: size for number, size in enumerate(self._joint) if number and size}

    @property
    def _joint(self) -> list[int]:
        plans = [v.plan for v in self.all]
        if not self.several:
            return [use.used_bytes for use in plans[0].arenas]
        return joint_bytes(plans, [v.program.graph for v in self.all])

    def blob(self) -> Blob:
        """The matrices of which they share slices: those of widths. Tasks share whole ones, and equal
        arrays are stored once anyway."""
        if not self.several or self.kind != "width":
            return Blob()
        arrays = [
            array
            for v in self.all
            for param in v.program.params.values()
            for array in pack(param, v.program).arrays
            if array.group_bytes
        ]
        return blob_of(matrices(self._widest().graph), arrays)

    def _widest(self) -> Program:
        return max((v.program for v in self.all), key=_weights)


def overhang(graphs: Sequence[Graph]) -> int:
    """Bytes that whoever reads as many outputs as the largest program has reads behind those of another."""
    sizes = [sum(g.type(n).size_bytes for n in g.outputs) for g in graphs]
    return max(sizes) - min(sizes)


def beside_plans(graphs: Sequence[Graph]) -> int:
    """What the arena holds beside the largest plan, whole units of its alignment."""
    return STATE_BYTES + _whole(overhang(graphs))


def joint_bytes(plans: Sequence[MemoryPlan], graphs: Sequence[Graph]) -> list[int]:
    """Bytes of each region's arena: its largest plan, what is read behind outputs, which may lie in any
    region, and in the first the state."""
    sizes = ([use.used_bytes for use in plan.arenas] for plan in plans)
    most, beyond = [max(each) for each in zip(*sizes, strict=True)], overhang(graphs)
    others = [_whole(n + beyond) if n else 0 for n in most[1:]]
    return [_whole(most[0] + beyond) + STATE_BYTES, *others]


def _whole(size_bytes: int) -> int:
    return -(-size_bytes // STATE_BYTES) * STATE_BYTES


def one(program: Program, plan: MemoryPlan) -> Variants:
    return Variants((Variant(program, plan),))


def _weights(program: Program) -> int:
    return sum(layer.weights_bytes for layer in program.layers)


def _course(variant: Variant) -> tuple[object, ...]:
    """All of a program but the numbers in its structs. A bare array is named in the steps themselves."""
    program, plan = variant.program, variant.plan
    sizes = [(k, b.size_bytes) for k, b in program.buffers.items()]
    places = [(k, p.arena, p.offset) for k, p in sorted(plan.placements.items())]
    ends = [(t.value, t.buffer, t.offset) for t in (*program.inputs, *program.outputs)]
    said = [(layer.name, layer.shape, layer.schedule) for layer in program.layers]
    order = {
        key: str(i) for i, key in enumerate(program.params)
    }  # keys tell choices of numbers, too
    steps = [_numbered(step, order) for step in program.steps]
    bare = [np.asarray(program.graph.const(name)).tobytes() for name in program.constants]
    return (*map(repr, (steps, sizes, places, ends, said)), *bare)


def _numbered(step: Step, order: Mapping[str, str]) -> Step:
    if isinstance(step, Loop):
        return replace(step, body=tuple(_numbered(inner, order) for inner in step.body))
    return step if step.params is None else replace(step, params=order[step.params])


def words(variants: Variants) -> Sequence[str]:
    """What tells the names in C of one from those of another."""
    return [f"v{i}" if variants.several else "" for i in range(len(variants.all))]
