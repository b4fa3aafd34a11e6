"""From the float graph to the int graph: which data, which input format, which method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from mcuformer.compile.flash_room import weights_room
from mcuformer.compile.options import CompileOptions
from mcuformer.compile.source import Source
from mcuformer.errors import Diagnostic, UsageError
from mcuformer.inputs.codec import InputCodec
from mcuformer.inputs.dataset import load_dataset
from mcuformer.inputs.doubts import (
    InputSamples,
    calibration_doubts,
    normalisation_doubts,
    wanted_grid,
    wanted_pixels,
)
from mcuformer.ir.graph import Graph
from mcuformer.ir.layout import is_image, pixels_of
from mcuformer.proof.samples import Evidence
from mcuformer.quant import CalibrationStats, InputFormat, calibrate, lower, synthetic_stats
from mcuformer.quant.fine_parts import ONE_GRID, on_one_grid, regrid_fine_parts
from mcuformer.quant.lower import measured_outline, ready
from mcuformer.quant.pixels import takes_pixels
from mcuformer.quant.policy import Mode
from mcuformer.quant.weight_bits import choose_bits
from mcuformer.quant.wide_values import Widening, choose_wide
from mcuformer.util.sizes import parse_floats

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mcuformer.inputs.arrays import InputSpec
    from mcuformer.util.progress import Progress

METADATA_MEAN, METADATA_STD = "mcuformer.mean", "mcuformer.std"
_MOST_SAMPLES = 512
_MOST_BYTES = 320 << 20  # of all calibration samples as float32: 512 images of 224 x 224
_MOST_MACS = 100e9  # of all calibration samples together: minutes in numpy


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What data say of the float `graph`, whose meta["normalisations"] keeps mean and std per input:
    the `formats` of its inputs, which values `--activations auto` widens, what is doubtful."""

    source: Source
    graph: Graph
    formats: Sequence[InputFormat | None]
    widening: Widening
    doubts: tuple[Diagnostic, ...]

    @property
    def prepared(self) -> Graph:
        """The float graph that is lowered."""
        return self.widening.stats.graph

    @property
    def mode(self) -> Mode:
        return "16" if self.source.options.activations == "16" else "8"

    def narrower(self) -> Measured | None:
        """What takes less: half of the values that are wide, then no copies for what reads a join's parts;
        None where nothing is left to give up."""
        wide = self.widening
        if wide.wide:
            return replace(self, widening=wide.narrower())
        known = ready(wide.stats, self.formats)
        if regrid_fine_parts(known, self.mode) is known:
            return None
        return replace(self, widening=replace(wide, stats=on_one_grid(wide.stats)))


def measured(source: Source, graph: Graph, needs_data: bool, progress: Progress) -> Measured:
    """From calibration; a float model without data is refused where `needs_data`. A QDQ model brings
    its own scales and needs none."""
    options = source.options
    known = normalisations(options, graph)
    doubts = _normalisation_doubts(options, graph, known)
    pairs = tuple(None if k is None else k.pair for k in known)
    graph = graph.replace(meta={**graph.meta, "normalisations": pairs})
    stats = statistics(options, graph, known, needs_data, progress)
    formats = pixel_formats(options, stats.graph, known)
    wide = choose_wide(stats, formats) if options.activations == "auto" else Widening(stats)
    return Measured(source, graph, formats, wide, (*doubts, *stats.doubts))


def quantised(found: Measured) -> tuple[Graph, Evidence]:
    """The int graph, and what it was made from."""
    options, stats, wide = found.source.options, found.widening.stats, found.widening
    outline = partial(measured_outline, stats, found.mode, found.formats)
    room = partial(weights_room, options, found.source.board)
    chosen = choose_bits(stats, options.weight_bits, room, outline)
    made = lower(found.graph, stats, found.mode, found.formats, chosen.bits)
    notes = (*found.doubts, *map(_bits_note, chosen.notes), *_wide_notes(wide), *_grid_notes(stats))
    return made, Evidence(stats.graph, stats.samples, notes, stats.labels)


def _grid_notes(stats: CalibrationStats) -> list[Diagnostic]:
    """That there was no room for copies."""
    if not stats.graph.meta.get(ONE_GRID):
        return []
    message = "parts of a Concat or Pad share its coarse grid with all their readers: there is no room for copies"
    hint = "more --ram or --max-instructions, or look at the dB of `mcuformer validate --per-layer`"
    return [
        Diagnostic(severity="warning", code="join-grids", where=None, message=message, hint=hint)
    ]


def _wide_notes(choice: Widening) -> list[Diagnostic]:
    """What `--activations auto` measured, and which values it gave 16 bits for it."""
    if choice.narrow_db is None:
        return []
    gained = (
        "" if choice.db is None else f", {choice.db:.1f} dB with {len(choice.wide)} values in 16"
    )
    text = (
        f"--activations auto: {choice.narrow_db:.1f} dB with 8 bits{gained if choice.wide else ''}"
    )
    notes = [(None, text), *choice.notes()]
    return [
        Diagnostic(severity="info", code="activation-bits", where=where, message=message)
        for where, message in notes
    ]


def statistics(
    options: CompileOptions, graph: Graph, known: Sequence[InputFormat | None], needs_data: bool,
    progress: Progress,
) -> CalibrationStats:  # fmt: skip
    if options.calibration is None:
        if needs_data and "qdq" not in graph.meta:
            raise UsageError(
                "a float model needs data to find the range of every activation",
                "give --calibration an image folder, an .npz or an .npy of real inputs",
            )
        progress("quantising")
        return synthetic_stats(graph)
    codec = InputCodec(graph, [None if k is None else k.pair for k in known])
    data = load_dataset(options.calibration, codec.inputs)
    most = max(16, min(_MOST_SAMPLES, int(_MOST_MACS / max(1, _macs(graph)))))
    most = max(16, min(most, _MOST_BYTES // _sample_bytes(graph)))
    spread = data.spread(most)
    loaded = codec.typed(data.take(spread))
    given = zip(codec.inputs, loaded, known, strict=True)
    doubts = calibration_doubts([_input_samples(graph, i, *one) for i, one in enumerate(given)])
    progress("calibrating")
    stats = calibrate(graph, codec.to_float(loaded), options.calibration_method or "mse")
    progress("quantising")
    labels = None if data.labels is None else data.labels[spread]
    return replace(stats, doubts=tuple(doubts), labels=labels)


def _sample_bytes(graph: Graph) -> int:
    return sum(4 * math.prod(graph.type(name).shape) for name in graph.inputs)


def _input_samples(
    graph: Graph, index: int, spec: InputSpec, samples: NDArray, known: InputFormat | None
) -> InputSamples:
    """What was loaded for an input, beside what it is made for."""
    grid = graph.meta.get("qdq", {}).get(graph.inputs[index])
    wanted = wanted_grid(float(grid[0]), int(grid[1]), grid[2]) if grid else None
    if known is not None:
        wanted = wanted_pixels(known.mean, known.std)
    return InputSamples(spec.name, samples, 1 if is_image(graph, index) else -1, wanted)


def _normalisation_doubts(
    options: CompileOptions, graph: Graph, known: Sequence[InputFormat | None]
) -> list[Diagnostic]:
    own = [pixels_of(graph, i) is not None for i in range(len(graph.inputs))]
    asked = [k for k, itself in zip(known, own, strict=True) if k is not None and not itself]
    fitting = {k.pair: normalisation_doubts(k.mean, k.std) for k in asked}
    if fitting:
        return [doubt for found in fitting.values() for doubt in found]
    given = [n for n in ("mean", "std") if getattr(options, n) is not None]
    noted = [k for k in (METADATA_MEAN, METADATA_STD) if k in graph.meta.get("metadata_props", {})]
    if not given and not noted:
        return []
    images = any(is_image(graph, i) for i in range(len(graph.inputs)))
    why = "mean and std belong together" if images else "no input is an image"
    hint = "the data must hold the floats that the model gets"
    if any(own):
        why = "the model takes bytes, and normalises them itself"
        hint = "the data must hold bytes: leave mean and std away"
    return [
        Diagnostic(
            severity="warning",
            code="normalisation-unused",
            where=None,
            message=f"{' and '.join(given or noted)} of the {'options' if given else 'model'} "
            f"cannot be used: {why}",
            hint=hint,
        )
    ]


def _bits_note(text: str) -> Diagnostic:
    """What there is to say about the bits of weights."""
    return Diagnostic(severity="warning", code="weight-bits", where=None, message=text)


def pixel_formats(
    options: CompileOptions, graph: Graph, known: Sequence[InputFormat | None]
) -> tuple[InputFormat | None, ...]:
    """Which inputs of the prepared `graph` are raw uint8 pixels: those with mean and std, unless a
    QDQ model says how they are quantised, or (of several) something else than a layer reads one."""
    own = [pixels_of(graph, i) is not None for i in range(len(known))]
    if "qdq" in graph.meta and options.mean is None:
        return tuple(k if itself else None for k, itself in zip(known, own, strict=True))
    several = len(known) > 1
    rows = zip(graph.inputs, known, own, strict=True)
    return tuple(k if i or not several or takes_pixels(graph, n) else None for n, k, i in rows)


def normalisations(options: CompileOptions, graph: Graph) -> tuple[InputFormat | None, ...]:
    """Mean and std per channel of every image that they fit, from the options or the model's metadata;
    of an image that the file takes in uint8, what its own nodes make of pixels.

    UsageError where there are images and they fit none.
    """
    mean = options.mean or _metadata(graph, METADATA_MEAN)
    std = options.std or _metadata(graph, METADATA_STD)
    own = [pixels_of(graph, i) for i in range(len(graph.inputs))]
    images = [n for i, n in enumerate(graph.inputs) if is_image(graph, i) and own[i] is None]
    if mean is None or std is None or not images:
        return tuple(None if p is None else InputFormat(*p) for p in own)
    channels = {name: graph.type(name).shape[-1] for name in images}
    if not any(_fits(mean, n) and _fits(std, n) for n in channels.values()):
        what, values = ("std", std) if _fits(mean, channels[images[0]]) else ("mean", mean)
        found = " and ".join(map(str, dict.fromkeys(channels.values())))
        raise UsageError(f"{what} has {len(values)} numbers, the image {found} channels")
    return tuple(
        InputFormat(_spread(mean, channels[name]), _spread(std, channels[name]))
        if name in channels and _fits(mean, channels[name]) and _fits(std, channels[name])
        else (None if pixels is None else InputFormat(*pixels))
        for name, pixels in zip(graph.inputs, own, strict=True)
    )


def _fits(values: tuple[float, ...], channels: int) -> bool:
    return len(values) in (1, channels)


def _spread(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    return values * channels if len(values) == 1 else values


def _macs(graph: Graph) -> int:
    """Of the layers with weights: their outputs times the weights of one output."""
    total = 0
    for op in graph.ops:
        weights = graph.const(op.inputs[1]) if op.kind in ("linear", "conv2d") else None
        if weights is not None:
            outputs = math.prod(graph.type(op.outputs[0]).shape)
            total += outputs * (weights.size // weights.shape[-1])
    return total


def _metadata(graph: Graph, key: str) -> tuple[float, ...] | None:
    text = graph.meta.get("metadata_props", {}).get(key)
    try:
        return None if text is None else parse_floats(str(text))
    except UsageError as error:
        hint = "give --mean and --std, which count more than the model's metadata"
        raise UsageError(f"{key} in the model's metadata: {error.message}", hint) from None
