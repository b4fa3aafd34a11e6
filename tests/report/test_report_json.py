"""report.json: the contract's fields, the SRAM identity, reasons for what is not known."""

from __future__ import annotations

import json
from dataclasses import replace

import msgspec
import pytest
from example_report import example
from report_program import PROGRAM

from mcuformer.report.schema import from_dict, problems, sram_total, to_dict, unknown

CONTRACT = {
    "": "schema_version tool model board options memory flash fits layers estimate tradeoffs "
    "checked diagnostics variants localisation",
    "tool": "name version",
    "model": "path sha256 opset parameters macs inputs outputs",
    "board": "name sram_bytes flash_bytes",
    "memory": "arena_bytes scratch_bytes static_bytes stack_bytes input_bytes input_mode "
    "sram_total_bytes sram_available_bytes lower_bound_bytes peak_layer regions output_mode",
    "flash": "weights_bytes code_bytes total_bytes regions",
    "estimate": "instructions seconds",
    "checked": "emulator samples equal sqnr_db",
}
ROWS = {
    "layers": "id name op onnx_nodes shape macs weights_bytes weight_bytes_read live_bytes "
    "scratch_bytes schedule estimated_instructions weight_bits",
    "tradeoffs": "optimize sram_total_bytes macs",
    "diagnostics": "severity code where message hint",
}


def test_fields_are_those_of_the_contract() -> None:
    document = json.loads(json.dumps(to_dict(example(PROGRAM)[0]), allow_nan=False))
    assert document["schema_version"] == 1
    for section, names in CONTRACT.items():
        assert list(document[section] if section else document) == names.split()
    for section, names in ROWS.items():
        assert all(list(row) == names.split() for row in document[section])
    for section in ("memory", "flash"):
        assert all(
            list(r) == ["name", "used_bytes", "size_bytes"] for r in document[section]["regions"]
        )


def test_round_trip() -> None:
    report, _ = example(PROGRAM)
    assert from_dict(json.loads(json.dumps(to_dict(report)))) == report
    with pytest.raises(msgspec.ValidationError):
        from_dict({"schema_version": "one"})


def test_sram_identity() -> None:
    report, made = example(PROGRAM)
    m = report.memory
    parts = (m.arena_bytes, m.scratch_bytes, m.static_bytes, m.stack_bytes, m.input_bytes)
    assert m.sram_total_bytes == sum(p or 0 for p in parts) == made.arena_bytes + 3000
    assert problems(report) == []
    wrong = replace(report, memory=replace(m, sram_total_bytes=m.sram_total_bytes or 0 + 1))
    assert problems(replace(wrong, memory=replace(m, stack_bytes=0)))
    assert sram_total(1, None, 2) is None


def test_a_null_needs_a_reason() -> None:
    report, _ = example(PROGRAM)
    silent = replace(report, diagnostics=())
    assert problems(silent) == [
        "flash.code_bytes is null without a reason",
        "flash.total_bytes is null without a reason",
    ]
    memory = replace(report.memory, static_bytes=None, sram_total_bytes=None)
    reasons = (
        unknown("memory.static_bytes", "linked later"),
        unknown("memory.sram_total_bytes", "linked later"),
    )
    assert not problems(replace(report, memory=memory, diagnostics=(*report.diagnostics, *reasons)))


def test_a_full_region_does_not_fit() -> None:
    report, _ = example(PROGRAM)
    full = replace(report.memory.regions[0], used_bytes=400_000)
    assert problems(replace(report, memory=replace(report.memory, regions=(full,))))
