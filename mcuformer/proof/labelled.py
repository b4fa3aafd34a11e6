"""How many calibration samples an integer graph classes as their labels say."""

from __future__ import annotations

import math

import numpy as np

from mcuformer.ir.graph import Graph
from mcuformer.operators.interpreter import run_int
from mcuformer.proof.samples import Evidence

_MOST_MACS = 4e9  # of all samples together: a minute of numpy at most
_LEAST, _MOST = 16, 512


def labelled_percent(graph: Graph, evidence: Evidence, macs: int) -> float | None:
    """By the largest number of the first output, over evenly spread samples. None where there are no labels,
    or no list of scores that has all of them. `macs`: of one sample."""
    labels, samples = evidence.labels, evidence.samples
    if labels is None or samples is None or not len(labels):
        return None
    output = graph.outputs[0]
    if math.prod(graph.type(output).shape) <= labels.max() or labels.min() < 0:
        return None
    count = int(np.clip(_MOST_MACS / max(macs, 1), _LEAST, _MOST))
    index = np.unique(np.linspace(0, len(labels) - 1, count).round().astype(np.int64))
    ints = []
    for name, x in zip(graph.inputs, samples, strict=True):
        type_ = graph.type(name)
        assert type_.qparams is not None
        ints.append(type_.qparams.quantise(x[index], type_.dtype))
    scores = run_int(graph, tuple(ints))[output].reshape(len(index), -1)
    return float(100 * (scores.argmax(axis=1) == labels[index]).mean())
