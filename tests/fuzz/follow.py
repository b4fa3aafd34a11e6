"""The chain of one draw: ONNX -> plan, checked and replayed -> interpreter -> sanitized C -> Unicorn."""

from __future__ import annotations

import re
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from fuzz.draws import Drawn
from fuzz.errors import Mismatch
from fuzz.machine import Machine
from fuzz.reference import numbers_of
from fuzz.simulation import shortfalls
from mcuformer.compile.figures import Figures
from mcuformer.compile.stages import plan_model
from mcuformer.errors import McuformerError, UsageError
from mcuformer.ir.graph import Graph
from mcuformer.ir.layout import to_canonical
from mcuformer.memory.simulate import simulate
from mcuformer.operators.interpreter import run_int
from mcuformer.proof.scores import behind, saturations

SLOW_S = 60.0
REFUSED = 3  # exit code
Level = Literal["import", "plan", "host", "all"]
Result = Literal["ok", "refused", "failed", "skipped"]


@dataclass
class Outcome:
    """`stage`: how far the draw came; `message`: why it was refused or failed.

    `operators`, `layouts`: what it held, for the counts.
    """

    result: Result = "ok"
    stage: str = "import"
    message: str = ""
    trace: str = ""
    seconds: float = 0.0
    operators: set[str] = field(default_factory=set)
    layouts: set[str] = field(default_factory=set)

    def refuse(self, drawn: Drawn, error: McuformerError) -> None:
        """A refusal has exit code 3 and names a node, or 2 where a node's numbers run away (a Sinh of a
        Sinh); all else is a failure."""
        named = any(n.name in error.message for n in drawn.model.graph.node)
        away = isinstance(error, UsageError) and self.stage == "calibrating"
        refused = error.exit_code == REFUSED or away
        self.result = "refused" if refused and named else "failed"
        self.message = f"{type(error).__name__} (exit {error.exit_code}): {error.message}"

    @property
    def way(self) -> tuple[str, str]:
        """How it failed, whatever names and numbers there were."""
        line = self.message.partition("\n")[0]
        return self.stage, re.sub(r"\S*\d\S*", "#", line)[:60]


def follow(drawn: Drawn, level: Level, machine: Machine, values: bool = True) -> Outcome:
    """Never raises but for Ctrl-C; a warning of numpy is a failure. `values`: whether they are judged."""
    outcome, began = Outcome(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name, warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            _chain(drawn, level, machine, Path(name), outcome, values)
        except McuformerError as error:
            outcome.refuse(drawn, error)
        except Exception as error:  # noqa: BLE001, what it is, the outcome says
            outcome.result, outcome.message = "failed", f"{type(error).__name__}: {error}"
            outcome.trace = traceback.format_exc()
    outcome.seconds = time.monotonic() - began
    return outcome


def _chain(
    drawn: Drawn, level: Level, machine: Machine, work: Path, outcome: Outcome, judge: bool
) -> None:
    outcome.operators |= {n.op_type for n in drawn.model.graph.node}
    outcome.layouts |= set(_layouts(drawn))
    figures = _planned(drawn, work, outcome)
    graph = figures.program.graph
    outcome.operators |= {op.kind for op in graph.ops}
    if any(op.attrs.get("windows", 1) > 1 for op in graph.ops):
        outcome.layouts.add("windows")
    outcome.stage = "simulator"
    simulate(figures.program, figures.plan)
    outcome.stage = "interpreter"
    ints, values = _interpreted(graph, drawn)
    if level != "plan":
        _compare_bits(graph, ints, machine, work, figures, level, outcome)
    if judge:
        outcome.stage = "values"
        _compare_values(drawn, work, figures, values)


def _compare_bits(
    graph: Graph, ints: tuple[NDArray, ...], machine: Machine, work: Path, figures: Figures,
    level: Level, outcome: Outcome,
) -> None:  # fmt: skip
    """Of noise and of one sample; in Unicorn of noise."""
    outcome.stage = "host"
    sets = [noise(graph), tuple(x[0] for x in ints)]
    runs = [run_int(graph, x) for x in sets]
    package = machine.package(work, figures)
    machine.compare("host", package, figures, sets, runs)
    if level == "all":
        outcome.stage = "unicorn"
        machine.compare("unicorn", package, figures, sets[:1], runs[:1])


def _planned(drawn: Drawn, work: Path, outcome: Outcome) -> Figures:
    """Checked by the independent checker."""
    model, data = work / "drawn.onnx", work / "data.npz"
    onnx.save(drawn.model, model)
    np.savez(data, **drawn.calibration)  # type: ignore[arg-type]

    def progress(stage: str, done: int = 0, total: int = 0) -> None:
        outcome.stage = stage

    figures = plan_model(drawn.modes.options(model, data), progress, needs_data=True)
    if figures.error is not None:
        raise figures.error
    return figures


def _interpreted(graph: Graph, drawn: Drawn) -> tuple[tuple[NDArray, ...], Mapping[str, NDArray]]:
    """All samples as integers [n, ...], and every value for them."""
    reals = to_canonical(graph, tuple(drawn.samples.values()))
    ints = []
    for name, x in zip(graph.inputs, reals, strict=True):
        type_ = graph.type(name)
        assert type_.qparams is not None
        ints.append(type_.qparams.quantise(x, type_.dtype))
    return tuple(ints), run_int(graph, tuple(ints))


def _compare_values(
    drawn: Drawn, work: Path, figures: Figures, values: Mapping[str, NDArray]
) -> None:
    """Mismatch where an output is further from the ONNX file than its grids explain, and not behind
    scores that saturate, which compile says (proof/scores.py)."""
    wanted = numbers_of(work / "drawn.onnx", list(drawn.samples.values()))
    prepared = figures.evidence.prepared
    reals = to_canonical(prepared, tuple(drawn.samples.values()))
    graph = figures.program.graph
    short = shortfalls(prepared, graph, reals, values, wanted)
    saturated = behind(graph, {s.layer for s in saturations(graph, values)}) if short else set()
    made = {op.outputs[0]: op.name for op in graph.ops}
    said = [text for name, text in short.items() if made.get(name) not in saturated]
    if said:
        raise Mismatch("; ".join(said))


def noise(graph: Graph) -> tuple[NDArray, ...]:
    """Any bytes are a legal input: noise of each input's own type, its extremes among it."""
    rng = np.random.default_rng(20240229)
    types = [graph.type(name) for name in graph.inputs]
    ends = [np.iinfo(t.dtype) for t in types]
    return tuple(
        rng.integers(e.min, e.max + 1, t.shape).astype(t.dtype)
        for e, t in zip(ends, types, strict=True)
    )


def _layouts(drawn: Drawn) -> Iterator[str]:
    ranks = {x.ndim for x in drawn.samples.values()}
    yield from (name for rank, name in ((3, "tokens"), (4, "image")) if rank in ranks)
    if len(drawn.samples) > 1:
        yield "several inputs"
    if len(drawn.model.graph.output) > 1:
        yield "several outputs"


@contextmanager
def deadline(seconds: int) -> Iterator[None]:
    """TimeoutError in a draw that does not end."""
    import signal

    def stop(*_: object) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    old = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
