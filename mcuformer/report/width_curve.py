"""Widths of one network as report.html shows them: how right each is against the time that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcuformer.report.schema import VariantRow

PLOT_WIDTH, PLOT_HEIGHT, PLOT_MARGIN = 520, 180, 34  # of the picture, in pixels
_RIGHT, _DB = "% of labelled calibration samples", "dB against its file"


@dataclass(frozen=True, slots=True)
class WidthDot:
    """A width at (x, y)."""

    x: float
    y: float
    label: str
    value: str


@dataclass(frozen=True, slots=True)
class WidthCurve:
    """`dots` by time; `path` joins them; `what` is measured upwards, `across` to the right."""

    dots: tuple[WidthDot, ...]
    path: str
    what: str
    across: str
    width: int = PLOT_WIDTH
    height: int = PLOT_HEIGHT


def width_curve(rows: Sequence[VariantRow]) -> WidthCurve | None:
    """Accuracy where all widths have one, else decibels; None where neither is known of two."""
    values, what, form = [r.accuracy_percent for r in rows], _RIGHT, "{:.1f} %"
    if any(v is None for v in values):
        values, what, form = [r.sqnr_db for r in rows], _DB, "{:.1f} dB"
    timed = all(r.seconds is not None for r in rows)
    known = sorted(
        ((1000 * (r.seconds or 0) if timed else r.instructions, v, r.label)
        for r, v in zip(rows, values, strict=True) if v is not None),
    )  # fmt: skip
    if len(known) < 2:
        return None
    most = max(x for x, *_ in known)
    low, high = min(v for _, v, _ in known), max(v for _, v, _ in known)
    dots = tuple(
        WidthDot(
            round(PLOT_MARGIN + (PLOT_WIDTH - 2 * PLOT_MARGIN) * x / max(most, 1e-9), 1),
            round(
                PLOT_HEIGHT - PLOT_MARGIN - (PLOT_HEIGHT - 2 * PLOT_MARGIN) * _share(v, low, high),
                1,
            ),
            label,
            form.format(v),
        )
        for x, v, label in known
    )
    path = "M" + "L".join(f"{d.x} {d.y}" for d in dots)
    end = f"{most:.1f} ms" if timed else f"{most:,} instructions"
    return WidthCurve(dots, path, what, f"time, 0 to {end}")


def _share(value: float, low: float, high: float) -> float:
    return 0.5 if high - low < 1e-9 else (value - low) / (high - low)
