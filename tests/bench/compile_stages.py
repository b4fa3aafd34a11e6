"""CPU seconds of `compile` by stage, of one core (docs/quantisation.md).

    OPENBLAS_NUM_THREADS=1 python tests/bench/compile_stages.py MODEL.onnx --calibration DATA
        [any option of compile] -o OUT

Seconds of a stage count what it calls; the profiler slows Python down, so that the sum is more than
`compile` says of itself.
"""

from __future__ import annotations

import cProfile
import os
import pstats
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

from mcuformer.cli import invoke
from mcuformer.compile.emitted import written
from mcuformer.compile.placed import placed
from mcuformer.compile.source import read_source
from mcuformer.frontend.load import imported
from mcuformer.operators.interpreter import run_op
from mcuformer.quant.assign import assign
from mcuformer.quant.calibrate import collect
from mcuformer.quant.context import Context
from mcuformer.quant.lower import _lowered
from mcuformer.quant.lower_linear import _targets
from mcuformer.quant.refine import fitted

STAGES: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("reading the model", read_source),
    ("importing it", imported),
    ("float graph and its statistics", collect),
    ("scales", assign),
    ("lowering", _lowered),
    ("  float graph again: sums to fit", _targets),
    ("  float graph again: the rest", Context.step),
    ("  fit of the weights", fitted),
    ("  integer interpreter", run_op),
    ("plan", placed),
    ("writing", written),
)


def seconds(stats: pstats.Stats, function: Callable[..., Any]) -> float:
    """Of a function, callees included; 0.0 where it was not called."""
    code = function.__code__
    key = code.co_filename, code.co_firstlineno, code.co_name
    return stats.stats[key][3] if key in stats.stats else 0.0  # type: ignore[attr-defined]


def main() -> None:
    profile = cProfile.Profile(time.process_time)
    status = profile.runcall(invoke, ["compile", *sys.argv[1:]])
    stats = pstats.Stats(profile)
    for title, function in STAGES:
        print(f"{title:<36} {seconds(stats, function):6.2f} s")
    total = sum(os.times()[:4])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{'all, with Python itself':<36} {total:6.2f} s, at most {most:,} MiB")
    sys.exit(status)


if __name__ == "__main__":
    main()
