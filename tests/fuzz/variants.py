"""Packages of several programs: widths of one network, tasks of one network. Drawn, then followed to the bit.

Each program is checked and replayed; the sanitized C of the package, with each program chosen in turn, gives
every traced row of the interpreter; in Unicorn, too, in a tenth of the draws. A draw is its seed and index.
"""

from __future__ import annotations

import math
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from util_slimmable import Slimmable, slimmable_data, slimmable_files

from fuzz.choices import Choices
from fuzz.follow import Level, noise
from fuzz.machine import Machine
from fuzz.modes import BOARDS
from mcuformer.cli.model_options import tasks_of
from mcuformer.compile.figures import Figures
from mcuformer.compile.options import CompileOptions, Point
from mcuformer.compile.stages import plan_model
from mcuformer.errors import McuformerError
from mcuformer.memory.check import check
from mcuformer.memory.simulate import simulate
from mcuformer.operators.interpreter import run_int

QUARTERS = ("0.25", "0.5", "0.75")


@dataclass(frozen=True, slots=True)
class Family:
    """`labels`: widths, or names of tasks; `classes` and `rank` are of tasks, `nested` of widths."""

    kind: Literal["width", "task"]
    labels: tuple[str, ...]
    dim: int
    heads: int
    blocks: int
    seed: int
    optimize: str
    input_mode: str
    activations: str
    weight_bits: str
    board: str
    pool: str = "mean"
    nested: bool = False
    rank: int = 4
    attention_only: bool = False
    classes: tuple[int, ...] = ()
    adapter_mode: str | None = None

    def options(self, folder: Path) -> CompileOptions:
        """Its files are written to `folder`."""
        modes = {
            n: getattr(self, n)
            for n in (
                "optimize",
                "input_mode",
                "activations",
                "weight_bits",
                "board",
                "adapter_mode",
            )
        }
        if self.kind == "width":
            net = Slimmable(self.dim, self.heads, self.blocks, self.pool, self.seed)
            files = slimmable_files(folder, net, [*map(float, self.labels)], self.nested)
            points = tuple(map(Point, self.labels, files))
            data = slimmable_data(folder / "data.npz", seed=self.seed)
            return CompileOptions(model=files[-1], points=points, calibration=data, **modes)
        from util_tasks import write_tasks

        write_tasks(
            folder, self.dim, self.blocks, self.rank, self.seed, 8, self.heads, 2, self.classes,
            self.attention_only,
        )  # fmt: skip
        found = tasks_of(folder, (), ",".join(self.labels), str(self.adapter_mode))
        return CompileOptions(model=found[-1].model, points=found, **modes)


def draw_family(choices: Choices) -> Family:
    """Widths twice as often as tasks, which take a tracing of PyTorch each."""
    choices.block()
    kind: Literal["width", "task"] = choices.one_of(("width", "width", "task"))
    heads = choices.one_of((1, 2, 3))
    common = {
        "heads": heads,
        "blocks": choices.number(1, 2),
        "seed": choices.number(0, 999),
        "optimize": choices.one_of(("balanced", "ram", "speed")),
        "input_mode": choices.one_of(("resident", "bands")),
        "activations": choices.one_of(("8", "8", "16")),
        "weight_bits": choices.one_of(("8", "8", "4")),
        "board": choices.one_of(BOARDS),
    }
    unit = math.lcm(4, heads)
    choices.block()
    if kind == "width":
        left = choices.number(1, 7)
        labels = (*(q for i, q in enumerate(QUARTERS) if left >> i & 1), "1")
        return Family(
            kind, labels, dim=4 * unit * choices.number(1, 2), pool=choices.one_of(("mean", "token")),
            nested=choices.chance(30), **common,
        )  # fmt: skip
    classes = tuple(choices.number(2, 12) for _ in range(choices.number(2, 3)))
    dim = unit * choices.number(2, 4)
    return Family(
        kind, tuple(f"t{i}" for i in range(len(classes))), dim=dim, classes=classes,
        rank=choices.number(1, dim // 2), attention_only=choices.chance(30),
        adapter_mode=choices.one_of(("runtime", "runtime", "fold")),
        **common,
    )  # fmt: skip


def follow_family(family: Family, level: Level, machine: Machine) -> str:
    """ "" where all is right, else what is not."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name, warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # of torch's exporter
        try:
            _chain(family, level, machine, Path(name))
        except McuformerError as error:
            return f"{type(error).__name__} (exit {error.exit_code}): {error.message}"
        except Exception as error:  # noqa: BLE001, what it is, the message says
            return f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
    return ""


def _chain(family: Family, level: Level, machine: Machine, work: Path) -> None:
    made = plan_model(family.options(work), lambda *_: None, needs_data=True)
    if made.error is not None:
        raise made.error
    for point in made.points:
        check(point.program, point.plan)
        simulate(point.program, point.plan)
    if level == "plan":
        return
    package = machine.variants(work, made)
    for emulator in ("host", *(("unicorn",) if level == "all" else ())):
        for number, point in enumerate(made.points):
            _compare(emulator, machine, package, point, number)


def _compare(emulator: str, machine: Machine, package: Path, point: Figures, number: int) -> None:
    """Of noise."""
    x = noise(point.program.graph)
    machine.compare(emulator, package, point, [x], [run_int(point.program.graph, x)], number)


def run_families(seed: int, first: int, count: int, level: Level) -> int:
    machine, counts = Machine(), Counter[str]()
    for index in range(first, first + count):
        family = draw_family(Choices.fresh(seed, index))
        own: Level = "all" if level == "host" and index % 10 == 0 else level
        wrong = follow_family(family, own, machine)
        counts.update(_labels(family))
        counts["failed" if wrong else "ok"] += 1
        if wrong:
            print(f"{index} failed: {wrong}\n{asdict(family)}", flush=True)
    print("packages of several programs:")
    print("\n".join(f"  {n:6,}  {label}" for label, n in sorted(counts.items())))
    return bool(counts["failed"])


def _labels(family: Family) -> Iterator[str]:
    yield f"kind {family.kind} {family.adapter_mode or ('nested' if family.nested else 'isolated')}"
    yield f"programs {len(family.labels)}"
    for name in ("optimize", "input_mode", "activations", "weight_bits", "board"):
        yield f"{name} {getattr(family, name)}"
