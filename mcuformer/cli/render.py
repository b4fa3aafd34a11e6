"""report.json as text: the memory table, the flash table, the layers, the trade-offs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mcuformer.cli.console import count, table
from mcuformer.cli.render_attention import localisation_table
from mcuformer.files.atomic import atomic_file
from mcuformer.util.names import printable

Document = dict[str, Any]


def as_text(report: Document) -> str:
    """Everything but the layers; warnings go to stderr (`warn`)."""
    parts = [
        _head(report),
        _sram(report),
        _flash(report),
        _time(report),
        _variants(report),
        localisation_table(report),
        _tradeoffs(report),
        _checked(report),
    ]
    return "\n\n".join(part for part in parts if part)


def layer_table(report: Document) -> str:
    """One row per layer of the integer graph."""
    rows = [
        [
            str(layer["id"]),
            printable(layer["name"], 40),
            layer["op"],
            "x".join(map(str, layer["shape"])),
            count(layer["macs"]),
            count(layer["weights_bytes"]),
            str(layer["weight_bits"] or "-"),
            count(layer["live_bytes"]),
            count(layer["scratch_bytes"]),
            count(layer["estimated_instructions"]),
            layer["schedule"],
        ]
        for layer in report["layers"]
    ]
    header = [
        "id",
        "layer",
        "op",
        "shape",
        "MAC",
        "weights B",
        "bits",
        "live B",
        "scratch B",
        "instructions",
        "schedule",
    ]
    return table(header, rows)


def write_report(page: Callable[[], str], report: Document, path: Path) -> None:
    """`path` gets the HTML page when it ends in .html, the JSON otherwise."""
    is_page = path.suffix.lower() in (".html", ".htm")
    text = page() if is_page else json.dumps(report, indent=2, allow_nan=False) + "\n"
    with atomic_file(path) as work:
        work.write_text(text, encoding="utf-8")


def _head(report: Document) -> str:
    model, options = report["model"], report["options"]
    return "\n".join(
        [
            (
                f"model    {printable(model['path'])}: {count(model['parameters'])} parameters, "
                f"{count(model['macs'])} MAC"
            ),
            f"board    {report['board']['name']}",
            (
                f"options  optimize {options['optimize']}, input {report['memory']['input_mode']}, "
                f"{'maps by lines, ' if report['memory'].get('output_mode') == 'lines' else ''}"
                f"{options['activations']}-bit activations, {_weight_bits(report)}"
            ),
        ]
    )


def _weight_bits(report: Document) -> str:
    """What the layers got, which is not always what was asked for."""
    found = [layer["weight_bits"] for layer in report["layers"] if layer["weight_bits"]]
    if len(set(found)) < 2:
        return f"{found[0] if found else 8}-bit weights"
    return f"4-bit weights in {found.count(4)} of {len(found)} layers"


def _sram(report: Document) -> str:
    memory = report["memory"]
    parts = [
        (
            "arena",
            memory["arena_bytes"],
            (
                f"at least {count(memory['lower_bound_bytes'])}; "
                f"peak at {printable(str(memory['peak_layer']), 50)}"
            ),
        ),
        ("scratch", memory["scratch_bytes"], "of kernels, outside the arena"),
        ("static", memory["static_bytes"], ".data and .bss less the arena"),
        ("stack", memory["stack_bytes"], ""),
        ("input", memory["input_bytes"], "outside the arena"),
        ("total", memory["sram_total_bytes"], f"of {count(memory['sram_available_bytes'])}"),
    ]
    text = table(["SRAM", "bytes", ""], [[name, count(size), why] for name, size, why in parts])
    return f"{text}\n\n{_regions(memory['regions'])}"


def _flash(report: Document) -> str:
    flash = report["flash"]
    names = ("weights", "code", "total")
    text = table(["flash", "bytes"], [[n, count(flash[f"{n}_bytes"])] for n in names])
    return f"{text}\n\n{_regions(flash['regions'])}"


def _regions(regions: list[dict[str, Any]]) -> str:
    rows = [[r["name"], count(r["used_bytes"]), count(r["size_bytes"])] for r in regions]
    return table(["region", "used", "of"], rows)


def _time(report: Document) -> str:
    estimate = report["estimate"]
    seconds = estimate["seconds"]
    time = "no estimate of the time" if seconds is None else f"{seconds * 1000:,.1f} ms"
    main = next((f"of {_kind(report)} {v['label']}: " for v in _main(report)), "")
    return f"estimate {main}{count(estimate['instructions'])} instructions, {time}"


def _main(report: Document) -> list[Document]:
    """Of several programs the one that estimate and layers are of."""
    sha256 = report["model"]["sha256"]
    return [v for v in report.get("variants", ()) if v["sha256"] == sha256]


def _kind(report: Document) -> str:
    return "task" if "adapters" in report["options"] else "width"


def _variants(report: Document) -> str:
    """Widths, or tasks, over one set of weights."""
    rows = [
        [
            v["label"],
            count(v["arena_bytes"]),
            count(v["sram_total_bytes"]),
            count(v["macs"]),
            count(v["instructions"]),
            "-" if v["seconds"] is None else f"{v['seconds'] * 1000:,.1f}",
            "-" if v["sqnr_db"] is None else f"{v['sqnr_db']:.1f}",
        ]
        for v in report.get("variants", ())
    ]
    header = [_kind(report), "arena", "SRAM bytes", "MAC", "instructions", "ms", "dB"]
    return table(header, rows) if rows else ""


def _checked(report: Document) -> str:
    found = report.get("checked")
    if not found:
        return ""
    against = (
        "" if found["sqnr_db"] is None else f", {found['sqnr_db']:.1f} dB against the ONNX file"
    )
    return f"checked  {found['samples']} samples in {found['emulator']}: all bits equal{against}"


def _tradeoffs(report: Document) -> str:
    rows = [
        [t["optimize"], count(t["sram_total_bytes"]), count(t["macs"])] for t in report["tradeoffs"]
    ]
    return table(["optimize", "SRAM bytes", "MAC"], rows) if rows else ""
