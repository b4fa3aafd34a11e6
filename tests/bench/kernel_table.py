"""`make bench`: every figure of the kernels, measured, beside its limits and CMSIS-NN's recorded counts.

    python tests/bench/kernel_table.py

Executed instructions in Unicorn of the default build: whole layers with packing and requantisation.
deit_tiny and B are written here with random weights, compiled for stm32f746 (balanced, bands) and
run as `mcuformer run` runs them; kernels that they lack run alone. A figure counts only where the
output equals the integer interpreter's. Exits 1 where a figure misses its limit.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "kernels"))

import kernel_rows
from counted import Layer
from rows import Row, table
from vit_onnx import DEIT_TINY, B
from whole_model import (
    KINDS,
    Measured,
    calls_of,
    code_bytes,
    instructions_of,
    measure,
    worst_blocks,
)


def deit_rows(folder: Path) -> list[Row]:
    m = measure(DEIT_TINY, folder)
    return [
        *linear_rows(m, "deit linear, K=192"), *attention_rows(m), *norm_rows(m),
        *residual_rows(m), *whole_rows(m, 1e9), kernel_rows.modelled_cycles(_all_calls(m)),
        kernel_rows.int4_over_int8(_all_calls(m)), *code_rows(m),
    ]  # fmt: skip


def b_rows(folder: Path) -> list[Row]:
    m = measure(B, folder)
    return [*linear_rows(m, "B linear"), *whole_rows(m, 1e6)]


def linear_rows(m: Measured, limit: str) -> Iterator[Row]:
    """Of each kind the block that costs most; what the residual add costs is taken off."""
    for kind, (instructions, macs) in worst_blocks(m).items():
        add = 0
        if kind in ("proj", "fc2"):
            add = round(
                kernel_rows.residual_cost(calls_of(m, kind)) * m.shape.tokens * m.shape.width
            )
        key = limit.replace("192", "768") if kind == "fc2" else limit
        rows = sorted({call.rows for call in calls_of(m, kind)}, reverse=True)
        note = f"calls of {' and '.join(map(str, rows))} rows"
        yield Row(f"{m.shape.name} {kind}", key, (instructions - add) / macs, note)


def attention_rows(m: Measured) -> Iterator[Row]:
    tokens, width = m.shape.tokens, m.shape.width
    worst = max(instructions_of(m, "q_attention", (tokens, width))) / m.shape.heads
    yield Row(
        "attention head, 197 tokens, d=64", "attention head", worst / 1e6, "as deit_tiny runs it"
    )


def norm_rows(m: Measured) -> Iterator[Row]:
    tokens, width = m.shape.tokens, m.shape.width
    once = min(instructions_of(m, "q_layernorm", (tokens, width))) / (tokens * width)
    yield Row("LayerNorm, C=192", "LayerNorm", once, "as deit_tiny runs it: a scale per channel")


def residual_rows(m: Measured) -> Iterator[Row]:
    for kind in ("proj", "fc2"):
        cost = kernel_rows.residual_cost(calls_of(m, kind))
        yield Row(f"residual add fused into {kind}", "residual", cost, "as deit_tiny runs it")


def whole_rows(m: Measured, unit: float) -> Iterator[Row]:
    count = m.document["instructions"]
    yield Row(f"{m.shape.name}, whole inference", m.shape.name, count / unit)
    apart = None if m.qemu is None else abs(m.qemu["instructions"] / count - 1) * 100
    yield Row(f"{m.shape.name}, QEMU's count and Unicorn's", "QEMU", apart, m.why_not_qemu)


def code_rows(m: Measured) -> Iterator[Row]:
    code, hot = code_bytes(m)
    yield Row("code of deit_tiny's firmware", "code", code, "kernels, generated calls and port")
    yield Row("of it in ITCM", "hot code", hot)


def _all_calls(m: Measured) -> Counter[Layer]:
    calls: Counter[Layer] = Counter()
    for kind in KINDS:
        calls.update(calls_of(m, kind))
    return calls


def main() -> int:
    start = time.time()
    with tempfile.TemporaryDirectory() as work, ProcessPoolExecutor(2) as pool:
        folders = [Path(work) / name for name in ("deit_tiny", "B")]
        for folder in folders:
            folder.mkdir()
        deit = pool.submit(deit_rows, folders[0])  # the longest first
        b = pool.submit(b_rows, folders[1])
        alone = pool.submit(kernel_rows.alone)
        rows = [*deit.result(), *b.result(), *alone.result()]
    print(table(rows))
    missed = [row.what for row in rows if row.missed]
    print(
        f"{time.time() - start:.0f} s; {', '.join(missed) or 'no figure'} missed", file=sys.stderr
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
