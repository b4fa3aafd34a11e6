"""The check of what was emitted: `compile` runs the code that it has just written.

Two promises are kept here. The device computes what Python computes: the firmware (in Unicorn), or
else the host build of the same C, runs on a few calibration samples and every output byte must be
the integer interpreter's (`bits.py`); where one is not, a traced build tells the first layer that
differs. And Python computes what the model says: the interpreter is compared with the ONNX file
itself, unoptimised, output by output (`reference.py`), and layer by layer with what the grids of
the integer graph can hold (`layers.py`): the float graph is run once more with every value rounded
onto its own grid, and a layer that is much worse than that was lowered wrongly, not just coarsely.

A wrong byte, or an output that has nothing to do with the model's, is a ValidationError and leaves
no package. A layer that is worse than its grids is a diagnostic in the report.
"""

from mcuformer.proof.check import check_emitted
from mcuformer.proof.samples import Evidence

__all__ = ["Evidence", "check_emitted"]
