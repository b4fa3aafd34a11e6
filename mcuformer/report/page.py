"""report.html: one self-contained page; the map and the curve are drawn by its own script.

Nothing is fetched: styles, script and data are inside, and the page's content policy forbids more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import jinja2
import msgspec
from markupsafe import Markup

from mcuformer.files.paths import TEMPLATES
from mcuformer.program.running import RegionRun
from mcuformer.report.pictures import order_picture, strip_pictures
from mcuformer.report.schema import LayerRow, Report
from mcuformer.report.timeline import Timeline
from mcuformer.report.width_curve import width_curve

KB = 1024


def page(report: Report, time: Timeline, runs: Sequence[RegionRun] = ()) -> str:
    """The whole document; `runs`: the program's."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": count, "size": size, "duration": duration, "join": ", ".join}
    return environment.get_template("report.html.j2").render(
        report=report,
        title=report.model.path.replace("\\", "/").rsplit("/", 1)[-1],
        chips=list(_chips(report)),
        style=_inline("report.css"),
        script=_inline("report.js"),
        data=_data(report, time),
        sram=sram_bar(report),
        flash=flash_bar(report),
        excess=_percent(report.memory.arena_bytes, report.memory.lower_bound_bytes),
        peak_bytes=_peak_bytes(report, time),
        order=order_picture(runs),
        strips=strip_pictures(runs),
        curve=width_curve(report.variants) if "operating_points" in report.options else None,
        main=_main(report),
        rows=[_row(layer, report.layers) for layer in report.layers],
        reasons={d.where: d.message for d in report.diagnostics if d.code == "unknown"},
        remarks=[d for d in report.diagnostics if d.code != "unknown"],
    )


def _chips(report: Report) -> Iterator[tuple[str, object]]:
    """Options that were given or have a default, but those that stand elsewhere on the page."""
    for key, value in report.options.items():
        if key not in ("input_mode", "output_mode") and value not in (None, "", [], {}):
            yield key.replace("_", " "), value


def _peak_bytes(report: Report, time: Timeline) -> int | None:
    """Of several programs, of which `time` is one: of the one that needs most."""
    if report.variants:
        return report.memory.lower_bound_bytes
    return time.moments[time.peak].live_bytes if time.moments else None


def _main(report: Report) -> str:
    """Of which of several programs map, work and layers are."""
    kind = "task" if "adapters" in report.options else "width"
    labels = [v.label for v in report.variants if v.sha256 == report.model.sha256]
    return f" of {kind} {labels[0]}" if labels else ""


@dataclass(frozen=True, slots=True)
class BarPart:
    """A piece of a bar: its share of the whole in percent."""

    name: str
    size_bytes: int
    percent: float


def sram_bar(report: Report) -> list[BarPart]:
    m = report.memory
    parts = [
        ("arena", m.arena_bytes),
        ("scratch", m.scratch_bytes),
        ("static", m.static_bytes),
        ("stack", m.stack_bytes),
        ("input", m.input_bytes),
    ]
    return _bar(parts, m.sram_available_bytes)


def flash_bar(report: Report) -> list[BarPart]:
    f = report.flash
    return _bar([("weights", f.weights_bytes), ("code", f.code_bytes)], report.board.flash_bytes)


def _bar(parts: Iterable[tuple[str, int | None]], whole: int) -> list[BarPart]:
    known = [(name, part) for name, part in parts if part]
    whole = max(whole, sum(part for _, part in known), 1)
    return [BarPart(name, part, round(100 * part / whole, 2)) for name, part in known]


def _row(layer: LayerRow, layers: Iterable[LayerRow]) -> dict[str, object]:
    """A layer with its shares of the largest live set and of the most expensive layer."""
    live = max((other.live_bytes for other in layers), default=0)
    work = max((other.estimated_instructions for other in layers), default=0)
    return {
        "layer": layer,
        "shape": "×".join(map(str, layer.shape)),
        "live_percent": _percent_of(layer.live_bytes, live),
        "work_percent": _percent_of(layer.estimated_instructions, work),
    }


def _percent_of(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0


def _percent(value: int, base: int) -> str:
    return f"{100 * (value - base) / base:.2f} %" if base else "0 %"


def count(value: float | None) -> str:
    """1234567 -> 1,234,567; a dash for what is not known."""
    return "–" if value is None else f"{value:,}"


def size(value: int | None) -> str:
    """Bytes for headlines: KB of 1024 below ten megabytes, MB above."""
    if value is None:
        return "–"
    if value >= 10 * KB * KB:
        return f"{value / KB / KB:.1f} MB"
    return f"{value / KB:.1f} KB" if value >= KB else f"{value} B"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def _inline(name: str) -> Markup:
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))


def _data(report: Report, time: Timeline) -> Markup:
    """JSON for the script; no `<` inside, so that no name can close the element."""
    text = msgspec.json.encode({"time": time, "tradeoffs": report.tradeoffs}).decode()
    return Markup(text.replace("<", "\\u003c"))
