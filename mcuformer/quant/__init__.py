"""How a layer becomes integers: from the canonical float graph to the integer graph.

0. `supported.py` refuses what has no integer form, all of it at once, before anything is measured.
1. `rewrites/` prepare the float graph: epilogues are fused, norms hand their scale to the next layer.
2. `calibrate.py` runs samples through it and keeps the range of every value; `ranges.py` cuts what
   few numbers reach, `held_out.py` leaves room for samples to come, `finest.py` says which steps are
   too fine to mean anything.
3. The grid of every value, which is why a layer reads and writes what it does:
   - `classes.py`: what moves carry over (slices, joins) has one grid; `fine_parts.py` copies what needs two.
   - `policy.py` says from who writes and who reads a class what its grid may be. Type: int8, or int16
     by `--activations` (`wide_values.py` measures for auto), for indices, and for what is one row
     anyway. Grain: one scale where the values are the caller's or a table's, or a reader cannot tell
     channels apart; a scale per channel where layers write and read it; integer multiples of one where
     a LayerNorm reads it.
   - `assign.py` gives the numbers in this order: pixels what mean and std say (`pixels.py`), q, k, v
     and the result what the proof on scores allows (`attention_grids.py`, `attention_scales.py`), and
     every other class its range over 255 steps (`class_grids.py`). QDQ files and networks trained
     under rounding bring theirs (`stored.py`).
4. `lower.py` goes through the operations in order and calls the function that each one's row names
   (`lower_*.py`, `context.py`): it says kinds, shapes and types, and hands over a function that
   computes the numbers. Without numbers the same code makes the outline that the search plans.
5. Weights are rounded against what the layer really reads (`refine.py`, `gptq.py`), some to 4 bits
   where flash asks for it (`weight_bits.py`, `sensitivity.py`).
`absorb.py` rewrites an integer graph so that attention scores tokens themselves (docs/adr/0004);
`absorbed_numbers.py` has the numbers of that.
"""

from mcuformer.quant.assignment import InputFormat
from mcuformer.quant.calibrate import CalibrationStats, calibrate, synthetic_stats
from mcuformer.quant.lower import lower

__all__ = ["CalibrationStats", "InputFormat", "calibrate", "lower", "synthetic_stats"]
