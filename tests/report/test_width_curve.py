"""The curve of widths on the page: accuracy where it is known, decibels else."""

from __future__ import annotations

from dataclasses import replace

from mcuformer.report.schema import VariantRow
from mcuformer.report.width_curve import PLOT_HEIGHT, PLOT_MARGIN, PLOT_WIDTH, width_curve

ROW = VariantRow(
    number=0, label="1", path="a.onnx", sha256="", parameters=1, macs=1, arena_bytes=1, sram_total_bytes=1,
    instructions=400, seconds=0.004, sqnr_db=30.0, accuracy_percent=90.0,
)  # fmt: skip
HALF = replace(
    ROW, label="0.5", seconds=0.001, instructions=100, sqnr_db=20.0, accuracy_percent=95.0
)


def test_accuracy_against_time() -> None:
    found = width_curve((HALF, ROW))
    assert found is not None and found.what.startswith("%") and found.across.endswith("4.0 ms")
    half, full = found.dots
    assert (half.label, half.value, full.value) == ("0.5", "95.0 %", "90.0 %")
    assert (
        full.x == PLOT_WIDTH - PLOT_MARGIN
        and half.x == PLOT_MARGIN + (PLOT_WIDTH - 2 * PLOT_MARGIN) / 4
    )
    assert (half.y, full.y) == (PLOT_MARGIN, PLOT_HEIGHT - PLOT_MARGIN)


def test_decibels_where_a_width_has_no_accuracy() -> None:
    rows = (replace(HALF, accuracy_percent=None, seconds=None), replace(ROW, seconds=None))
    found = width_curve(rows)
    assert found is not None and found.what.startswith("dB")
    assert [d.value for d in found.dots] == ["20.0 dB", "30.0 dB"]
    assert found.across.endswith("400 instructions")
    assert width_curve((ROW,)) is None
    level = width_curve((ROW, replace(HALF, accuracy_percent=90.0)))
    assert level is not None and len({d.y for d in level.dots}) == 1
