"""The page in headless Chromium: it draws itself, fetches nothing, survives hostile names."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from example_report import example
from report_program import PROGRAM

from mcuformer.memory.model import Arena
from mcuformer.program.program import Program
from mcuformer.program.running import ImageLines, RegionRun, Sweep
from mcuformer.report.page import count, duration, page, size
from mcuformer.report.timeline import timeline

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on PATH (apt-get install chromium)"
)
EVIL = "</script><script>document.title='broken'</script>\"'<b>&%}}{{ 7*7 }}\u2028\U0001f600"


def html(program: Program = PROGRAM, regions: tuple[Arena, ...] | None = None) -> str:
    report, made = example(program, *([regions] if regions else []))
    return page(report, timeline(program, made))


def dump(text: str, folder: Path) -> str:
    """The page's DOM after its script ran."""
    assert CHROMIUM is not None
    path = folder / "report.html"
    path.write_text(text, encoding="utf-8")
    run = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--dump-dom",
            f"--user-data-dir={folder / 'profile'}",
            path.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return run.stdout


def test_the_page_is_self_contained() -> None:
    text = html()
    assert "default-src 'none'" in text
    assert not re.search(r"(src|href)\s*=|@import|url\(|fetch\(|XMLHttpRequest", text)
    addresses = set(re.findall(r"https?://[^\s\"'<]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # the name of a namespace, never fetched


def test_figures_are_in_the_tables_without_a_script() -> None:
    text = html()
    report, made = example(PROGRAM)
    assert f"{made.arena_bytes:,}" in text and "blocks.2.fc1" in text
    assert "calibrated on 8 images only" in text and "known after linking only" in text
    assert f"{report.estimate.instructions:,}" in text


def test_order_and_strips_are_there_without_a_script() -> None:
    ring = ImageLines(f"ring{EVIL}", 56, 100, 4, (26, 28), (28, 30))
    runs = [
        RegionRun("stem", ("x",), 9, (), "2 lines", (Sweep(28, (ring,)),)),
        RegionRun(EVIL, ("y",), 9, (0,), "tiles of 4"),
    ]
    report, made = example(PROGRAM)
    text = page(report, timeline(PROGRAM, made), runs)
    assert text.count('<circle class="dot') == 2 and text.count('class="wire"') == 1
    assert "28 steps" in text and "2 + 2 of 56" in text and "rings 400 B" in text
    assert "left:50.0%" in text and EVIL not in text
    assert "Order and branches" not in html() and "Strips of lines" not in html()


@browser
def test_chromium_draws_the_map(tmp_path: Path) -> None:
    dom = dump(html(), tmp_path)
    _, made = example(PROGRAM)
    boxes = sum(len(spans) for spans in made.lives.values())
    assert f'data-ready="{boxes}"' in dom
    assert dom.count('class="box"') == boxes
    assert f"peak {made.peak.live_bytes:,} B at blocks.0.fc1" in dom
    assert 'aria-label="trade-off curve"' in dom and ">balanced</text>" in dom
    assert "b0.panel" in dom.split('id="now"')[1]  # the list of what is alive at the peak


@browser
def test_chromium_draws_two_regions_and_follows_the_pointer(tmp_path: Path) -> None:
    act = """<script>document.querySelector('[data-scale=work]').click();
      const box = document.querySelector('.box'), r = box.getBoundingClientRect();
      box.dispatchEvent(new MouseEvent('mousemove',
        {bubbles: true, clientX: r.x + r.width / 2, clientY: r.y + 2}));
      document.querySelector('#layers th.n').click();</script></body>"""
    regions = (Arena("sram", 0x20000000, 4000), Arena("ccm", 0x10000000, 4096))
    dom = dump(html(PROGRAM, regions).replace("</body>", act), tmp_path)
    assert "sram: " in dom and "ccm: " in dom
    assert 'class="hit"' in dom and "width: estimated instructions" in dom
    first = dom.split("<tbody>")[2].split("</tr>")[0]
    assert 'data-layer="head"' in first  # sorted by id, downwards


@browser
def test_hostile_names_stay_text(tmp_path: Path) -> None:
    layers = tuple(replace(layer, name=layer.name + EVIL) for layer in PROGRAM.layers)
    dom = dump(html(replace(PROGRAM, layers=layers)), tmp_path)
    assert "<title>deit.onnx on stm32f746g-disco</title>" in dom
    assert 'data-ready="' in dom and "{{ 7*7 }}" in dom


@browser
def test_an_empty_program_still_gives_a_page(tmp_path: Path) -> None:
    report, made = example(PROGRAM)
    time = replace(timeline(PROGRAM, made), moments=(), tracks=())
    assert 'data-ready="0"' in dump(page(replace(report, tradeoffs=(), layers=()), time), tmp_path)


def test_units() -> None:
    assert (count(None), count(1234567)) == ("–", "1,234,567")
    assert (size(512), size(2048), size(20 << 20), size(None)) == (
        "512 B",
        "2.0 KB",
        "20.0 MB",
        "–",
    )
    assert (duration(0.0421), duration(1.5), duration(None)) == ("42.1 ms", "1.50 s", "–")
