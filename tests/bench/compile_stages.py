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

from mcuformer.cli import invoke

STAGES = (
    ("reading the model", "source.py", "read_source"),
    ("importing it", "load.py", "imported"),
    ("float graph and its statistics", "calibrate.py", "collect"),
    ("scales", "assign.py", "assign"),
    ("lowering", "lower.py", "_lowered"),
    ("  float graph again: sums to fit", "lower_linear.py", "_targets"),
    ("  float graph again: the rest", "context.py", "step"),
    ("  fit of the weights", "refine.py", "fitted"),
    ("  integer interpreter", "interp_int.py", "run_op"),
    ("plan", "placed.py", "placed"),
    ("writing", "emitted.py", "written"),
)


def seconds(stats: pstats.Stats, file: str, name: str) -> float:
    """Of all functions of that name in files of that name, callees included."""
    table = stats.stats.items()  # type: ignore[attr-defined]
    return sum(row[3] for (path, _, fn), row in table if fn == name and path.endswith(f"/{file}"))


def main() -> None:
    profile = cProfile.Profile(time.process_time)
    status = profile.runcall(invoke, ["compile", *sys.argv[1:]])
    stats = pstats.Stats(profile)
    for title, file, name in STAGES:
        print(f"{title:<36} {seconds(stats, file, name):6.2f} s")
    total = sum(os.times()[:4])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{'all, with Python itself':<36} {total:6.2f} s, at most {most:,} MiB")
    sys.exit(status)


if __name__ == "__main__":
    main()
