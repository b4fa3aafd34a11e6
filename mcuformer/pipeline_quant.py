"""From the float graph to the int graph: which data, which input format, which method."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from mcuformer.errors import UsageError
from mcuformer.flash_room import weights_room
from mcuformer.inputs.codec import InputCodec
from mcuformer.inputs.dataset import load_dataset
from mcuformer.ir.graph import Graph
from mcuformer.options import CompileOptions
from mcuformer.proof.samples import Evidence
from mcuformer.quant import CalibrationStats, InputFormat, calibrate, lower, synthetic_stats
from mcuformer.quant.weight_bits import choose_bits
from mcuformer.targets.board_file import load_board

if TYPE_CHECKING:
    from mcuformer.pipeline import Progress

METADATA_MEAN, METADATA_STD = "mcuformer.mean", "mcuformer.std"
_MOST_SAMPLES = 512
_MOST_MACS = 100e9  # of all calibration samples together: minutes in numpy


def quantised(
    options: CompileOptions, graph: Graph, needs_data: bool, progress: Progress
) -> tuple[Graph, Evidence]:
    """The int graph, and what it was made from; a float model without data is refused where
    `needs_data`.

    A QDQ model brings its own scales and needs none. meta["normalisation"] keeps mean and std,
    meta["weight_notes"] what is to be said about the bits of weights.
    """
    known = normalisation(options, graph)
    graph = graph.replace(meta={**graph.meta, "normalisation": known and (known.mean, known.std)})
    stats = statistics(options, graph, known, needs_data, progress)
    room = partial(weights_room, options, load_board(options.board))
    chosen = choose_bits(stats, options.weight_bits, room)
    made = lower(
        graph.replace(meta={**graph.meta, "weight_notes": chosen.notes}),
        stats,
        options.activations,
        known if known and takes_pixels(options, graph) else None,
        chosen.bits,
    )
    return made, Evidence(stats.graph, None if stats.samples is None else (stats.samples,))


def statistics(
    options: CompileOptions, graph: Graph, known: InputFormat | None, needs_data: bool,
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
    codec = InputCodec(graph, *((known.mean, known.std) if known else (None, None)))
    data = load_dataset(options.calibration, codec.sample_shape)
    most = max(16, min(_MOST_SAMPLES, int(_MOST_MACS / max(1, _macs(graph)))))
    samples = codec.to_float(data.take(data.spread(most)))
    progress("calibrating")
    stats = calibrate(graph, samples, options.calibration_method or "mse")
    progress("quantising")
    return stats


def takes_pixels(options: CompileOptions, graph: Graph) -> bool:
    """Raw uint8 pixels are the input, unless a QDQ model says how its input is quantised."""
    return "qdq" not in graph.meta or options.mean is not None


def normalisation(options: CompileOptions, graph: Graph) -> InputFormat | None:
    """Mean and std per channel of an image, from the options or the model's metadata."""
    if graph.meta.get("input_layout") != "NCHW":
        return None
    mean = options.mean or _metadata(graph, METADATA_MEAN)
    std = options.std or _metadata(graph, METADATA_STD)
    if mean is None or std is None:
        return None
    channels = graph.type(graph.inputs[0]).shape[-1]
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, channels):
            raise UsageError(f"{name} has {len(values)} numbers, the image {channels} channels")
    spread = [v * channels if len(v) == 1 else v for v in (mean, std)]
    return InputFormat(*spread)


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
    from mcuformer.cli.params import parse_floats

    text = graph.meta.get("metadata_props", {}).get(key)
    return None if text is None else parse_floats(str(text))
