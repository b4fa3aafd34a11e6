"""`check_emitted`: the stages of the check in order, and what the report says of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mcuformer.errors import Diagnostic, ValidationError
from mcuformer.ir.neighbours import RADII
from mcuformer.operators.interpreter import run_int
from mcuformer.package.compiled import CompiledPackage
from mcuformer.proof.bits import compare_bits, emulator_for
from mcuformer.proof.layers import Shortfall, compare_layers
from mcuformer.proof.outputs import float_fault, in_file_shapes, output_sqnr
from mcuformer.proof.reference import OnnxFile
from mcuformer.proof.samples import Evidence, draw_samples
from mcuformer.proof.scores import LARGEST_SCORE, Saturation, behind, saturations
from mcuformer.report.schema import Checked, unknown
from mcuformer.util.names import printable

_BUG = "please report the model: this is a bug in mcuformer"
_SATURATED = (
    "a softmax of such scores picks one key; look for a missing 1/sqrt(d) or normalisation before "
    "q and k, or train with smaller scores"
)
_RAISE = (
    "more and truer calibration data, --activations auto or 16, or --weight-bits 8 raise it; "
    "--accept-sqnr DB takes it as it is"
)


@dataclass(frozen=True, slots=True)
class Findings:
    """`checked` None: nothing here could run the code; a diagnostic says why."""

    checked: Checked | None
    diagnostics: tuple[Diagnostic, ...]


def check_emitted(
    package: CompiledPackage, evidence: Evidence, file: OnnxFile, accept_sqnr: float
) -> Findings:
    """Run the code in `package` and compare; docs of mcuformer.proof say with what.

    ValidationError where a byte is not the interpreter's, or an output has less than `accept_sqnr`
    dB against the ONNX `file`, or, where heads were localised, against the float graph with those.
    """
    graph, samples = package.graph, draw_samples(package.graph, evidence)
    values = run_int(graph, samples.ints)
    emulator = emulator_for(package)
    if emulator is not None:
        each = [{n: v[i] for n, v in values.items()} for i in range(len(samples))]
        images = [samples.image(i) for i in range(len(samples))]
        compare_bits(package, emulator, images, each)
    wanted = file.outputs(samples.onnx)
    layers = compare_layers(evidence.prepared, graph, samples.reals, values)
    fault = None
    if any(
        op.attrs.get(RADII) for op in evidence.prepared.ops
    ):  # asked to see less than the file's
        wanted = in_file_shapes(graph, layers.outputs, wanted)
    else:
        fault = float_fault(file, evidence.prepared, samples, layers.outputs, wanted, layers.first)
    saturated = list(saturations(graph, values))
    explained = behind(graph, [s.layer for s in saturated])
    faults = [low for low in layers.faults if low.layer not in explained]
    diagnostics = [*_faults(faults, fault), *_saturated(saturated)]
    dbs = output_sqnr(graph, values, wanted)
    _refuse(package, dbs, accept_sqnr, diagnostics)
    return _findings(emulator, len(samples), dbs, diagnostics)


def _saturated(saturated: Sequence[Saturation]) -> Iterator[Diagnostic]:
    for found in saturated:
        yield Diagnostic(
            severity="warning", code="scores-saturate", where=found.layer,
            message=f"attention {printable(found.layer)} has scores up to {found.largest:.0f}, and "
            f"more than {LARGEST_SCORE:.0f} cannot be told apart: {100 * found.rows:.2g} % of its rows weigh "
            "other keys than in the float model",
            hint=_SATURATED,
        )  # fmt: skip


def _faults(faults: Sequence[Shortfall], fault: tuple[str, float] | None) -> Iterator[Diagnostic]:
    if fault is not None:
        name, db = fault
        yield Diagnostic(
            severity="warning", code="float-graph-differs", where=name,
            message=f"from {printable(name)} on the imported model computes something else than "
            f"the ONNX file ({db:.1f} dB)",
            hint=_BUG,
        )  # fmt: skip
    for low in faults:
        yield Diagnostic(
            severity="warning", code="layer-below-grids", where=low.layer,
            message=f"layer {printable(low.layer)} has {low.sqnr_db:.1f} dB against the float model "
            f"where its grids predict {low.predicted_db:.1f} dB",
            hint=_BUG,
        )  # fmt: skip


def _refuse(
    package: CompiledPackage, dbs: Sequence[float | None], least: float,
    diagnostics: Sequence[Diagnostic],
) -> None:  # fmt: skip
    names = package.graph.meta["output_names"]
    low = [(db, n) for db, n in zip(dbs, names, strict=True) if db is not None and db < least]
    if not low:
        return
    db, name = min(low)
    blame = "; " + diagnostics[0].message if diagnostics else ""
    raise ValidationError(
        f"output {printable(name)} has {db:.1f} dB against the ONNX file, "
        f"at least {least:g} dB is wanted{blame}",
        (diagnostics[0].hint or _BUG) if diagnostics else _RAISE,
    )


def _findings(
    emulator: str | None, samples: int, dbs: Sequence[float | None], found: list[Diagnostic]
) -> Findings:
    if emulator is None:
        why = "neither Unicorn nor a C compiler is installed: the emitted code was not run"
        return Findings(None, (*found, unknown("checked", why)))
    known = [db for db in dbs if db is not None]
    if not known:
        why = "every output is an index, all zero, or without any error"
        found.append(unknown("checked.sqnr_db", why))
    worst = min(known, default=None)
    checked = Checked(emulator=emulator, samples=samples, equal=True, sqnr_db=worst)
    return Findings(checked, tuple(found))
