"""--activations: `mixed` is `auto`, which gives 16 bits to what they help, as far as they fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcuformer.cli import invoke
from mcuformer.quant import wide_values

Compiling = Callable[..., list[str]]


def _report(
    args: list[str], out: Path, monkeypatch: pytest.MonkeyPatch, enough: float
) -> dict[str, Any]:
    monkeypatch.setattr(wide_values, "ENOUGH_DB", enough)
    assert invoke([*args, "--emit-only"]) == 0
    return json.loads((out / "report.json").read_text())  # type: ignore[no-any-return]


def _notes(report: dict[str, Any]) -> list[tuple[str | None, str]]:
    """(value, why)."""
    found = [d for d in report["diagnostics"] if d["code"] == "activation-bits"]
    return [(d["where"], d["message"]) for d in found]


def test_mixed_is_the_old_name_of_auto(
    compiling: Compiling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = [
        _report(compiling(tmp_path / m, "--activations", m), tmp_path / m, monkeypatch, 45.0)
        for m in ("auto", "mixed")
    ]
    assert [r["options"]["activations"] for r in reports] == ["auto", "auto"]
    assert _notes(reports[0]) == _notes(reports[1]) and len(_notes(reports[0])) > 1
    assert reports[0]["memory"] == reports[1]["memory"]


def test_what_does_not_fit_gets_fewer_values_of_16_bits(
    compiling: Compiling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within instructions that 8 bits alone need, and within those of 16 bits."""

    def made(name: str, mode: str, *more: str) -> dict[str, Any]:
        args = compiling(tmp_path / name, "--activations", mode, *more)
        return _report(args, tmp_path / name, monkeypatch, 200.0)

    def instructions(report: dict[str, Any]) -> int:
        return sum(row["estimated_instructions"] for row in report["layers"])

    narrow, wide = made("narrow", "8"), made("wide", "auto")
    assert instructions(narrow) < instructions(wide)
    limit = (instructions(narrow) + instructions(wide)) // 2
    some = made("some", "auto", "--max-instructions", str(limit))
    assert instructions(some) <= limit
    assert 1 < len(_notes(some)) < len(_notes(wide))
    assert set(_notes(some)[1:]) < set(_notes(wide))
