"""How a layer becomes integers: from the canonical float graph to the integer graph.

1. `rewrites/` prepare the float graph: epilogues are fused, norms hand their scale to the next layer.
2. `calibrate.py` runs samples through it and keeps the range of every value; `ranges.py` cuts what
   few numbers reach, `finest.py` says which steps are too fine to mean anything.
3. `policy.py` and `assign.py` decide the grid of every value: how many bits, one scale or one per
   channel, and what operands must share. This is why a layer got its grid; `class_grids.py` and
   `attention_grids.py` give the numbers.
4. `lower.py` goes through the operations in order and calls the function that each one's row names
   (`lower_*.py`, `context.py`): it says kinds, shapes and types, and hands over a function that
   computes the numbers. Without numbers the same code makes the outline that the search plans.
5. Weights are rounded against what the layer really reads (`refine.py`, `gptq.py`), some to 4 bits
   where flash asks for it (`weight_bits.py`, `sensitivity.py`).
`absorb.py` rewrites an integer graph so that attention scores tokens themselves (docs/adr/0004).
"""

from mcuformer.quant.assignment import InputFormat
from mcuformer.quant.calibrate import CalibrationStats, calibrate, synthetic_stats
from mcuformer.quant.lower import lower

__all__ = ["CalibrationStats", "InputFormat", "calibrate", "lower", "synthetic_stats"]
