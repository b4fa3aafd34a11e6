"""Calibration, scales, tables, and lowering from the canonical float graph to the integer graph."""

from mcuformer.quant.assign import InputFormat
from mcuformer.quant.calibrate import CalibrationStats, calibrate, synthetic_stats
from mcuformer.quant.lower import lower

__all__ = ["CalibrationStats", "InputFormat", "calibrate", "lower", "synthetic_stats"]
