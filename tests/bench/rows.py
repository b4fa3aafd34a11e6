"""A row of the benchmark table, the limits of every figure, and what CMSIS-NN was recorded to need."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limit:
    """`cmsis`: the least and most that CMSIS-NN's kernels execute for the same work."""

    unit: str
    at_most: float | None = None
    stretch: float | None = None
    cmsis: tuple[float, float] | None = None


# CMSIS-NN 99f736a, GCC 12.2 -Ofast, whole calls with packing and requantisation, counted in QEMU
# (mps2-an500, -icount shift=0). Linear layers: mat_mult_nt_t_s8 to fully_connected_s8 at these K.
# Modelled cycles: llvm-mca 19, nt_t's loop and what is around it.
LIMITS = {
    "deit linear, K=192": Limit("instr/MAC", 0.80, 0.74, (1.617, 2.136)),
    "deit linear, K=768": Limit("instr/MAC", 0.80, 0.74, (1.459, 1.940)),
    "B linear": Limit("instr/MAC", 0.90, 0.82, (1.5, 1.9)),
    "attention head": Limit("M instr", 4.9, 4.2, (22.7, 32.8)),
    "softmax": Limit("instr/element", 15, 12, (277, 533)),
    "LayerNorm": Limit("instr/element", 8, 6),
    "residual": Limit("instr/element", 5, 3, (81, 81)),
    "depthwise": Limit("instr/MAC", 2.5, None, (8.0, 8.6)),
    "pointwise": Limit("instr/MAC", 0.78),
    "convolution, 3 channels": Limit("instr/MAC", 1.3, 1.0),
    "convolution, 32 channels": Limit("instr/MAC", 0.74),
    "sum": Limit("instr/element", 6),
    "product": Limit("instr/element", 8.1),
    "gate": Limit("instr/element", 5),
    "resize, nearest": Limit("instr/element", 2),
    "resize, linear": Limit("instr/element", 8),
    "shuffle": Limit("instr/element", 2),
    "max-pooling": Limit("instr/output", 14, 12),
    "deit_tiny": Limit("G instr", 1.10, 0.98, (3.0, 3.0)),
    "B": Limit("M instr", 39, 34.5),
    "cycles": Limit("cycles/MAC", 0.62, 0.56, (1.2, 1.2)),
    "int4": Limit("x int8", 1.05, 1.0, (2.0, 2.0)),
    "code": Limit("bytes", 40 * 1024),
    "hot code": Limit("bytes", 12 * 1024),
    "QEMU": Limit("% apart", 0.1),
}


@dataclass(frozen=True)
class Row:
    """`measured` None: not known here, and `note` says why."""

    what: str
    limit: str  # key of LIMITS
    measured: float | None
    note: str = ""

    @property
    def missed(self) -> bool:
        most = LIMITS[self.limit].at_most
        return self.measured is not None and most is not None and self.measured > most

    def cells(self) -> tuple[str, ...]:
        limit = LIMITS[self.limit]
        return (
            self.what, limit.unit, _number(limit.at_most), _number(limit.stretch),
            _number(self.measured), _span(limit.cmsis), self._ratio(limit.cmsis), self._verdict(),
            self.note,
        )  # fmt: skip

    def _ratio(self, cmsis: tuple[float, float] | None) -> str:
        """CMSIS-NN's count over ours."""
        if cmsis is None or not self.measured:
            return "-"
        low, high = (f"{c / self.measured:.1f}" for c in cmsis)
        return f"{low}x" if low == high else f"{low}-{high}x"

    def _verdict(self) -> str:
        stretch = LIMITS[self.limit].stretch
        if self.measured is None:
            return "unknown"
        if self.missed:
            return "MISSED"
        return "stretch" if stretch is not None and self.measured <= stretch else "ok"


HEAD = (
    "what", "unit", "at most", "stretch", "measured", "CMSIS-NN", "CMSIS-NN/ours", "verdict", "note",
)  # fmt: skip


def table(rows: list[Row]) -> str:
    """Markdown, columns aligned."""
    lines = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    )


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3f}" if value < 1 else f"{value:.3g}" if value >= 100 else f"{value:.2f}"


def _span(cmsis: tuple[float, float] | None) -> str:
    if cmsis is None:
        return "none"
    low, high = cmsis
    return f"{low:g}" if low == high else f"{low:g}-{high:g}"
