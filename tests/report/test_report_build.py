"""Layer rows and the timeline of a placed program."""

from __future__ import annotations

from example_report import example
from report_program import PROGRAM, TOKENS, WIDTH

from mcuformer.memory.placement import plan
from mcuformer.program.calls import Loop
from mcuformer.report.rows import call_work, layer_rows
from mcuformer.report.timeline import block_of, chart, timeline


def test_costs_count_every_execution() -> None:
    """50 tokens in tiles of 16: three whole tiles and one of two tokens."""
    rows = {row.name: row for row in layer_rows(PROGRAM, plan(PROGRAM))}
    assert rows["blocks.0.norm"].estimated_instructions == 3 * 100 + 20
    assert rows["blocks.0.fc2"].estimated_instructions == 4 * 900
    assert rows["blocks.1.fc1"].weight_bytes_read == 4 * 4096
    assert rows["blocks.1.fc1"].scratch_bytes == 512
    assert rows["embed"].live_bytes == TOKENS * WIDTH
    view = rows["view"]
    assert (view.estimated_instructions, view.live_bytes, view.weight_bytes_read) == (0, 0, 0)


def test_work_agrees_with_the_executions() -> None:
    counts: dict[int, int] = {}
    for call, _ in PROGRAM.executions():
        counts[id(call)] = counts.get(id(call), 0) + 1
    assert all(work.executions == counts[id(call)] for call, work in call_work(PROGRAM))


def test_nested_loops_multiply() -> None:
    body = next(s for s in PROGRAM.steps if isinstance(s, Loop))
    nested = type(PROGRAM)(
        **{
            **{f: getattr(PROGRAM, f) for f in PROGRAM.__dataclass_fields__},
            "steps": (Loop("outer", 3, 1, (body,)),),
        }
    )
    assert [work.executions for _, work in call_work(nested)] == [12, 12, 12]


def test_timeline() -> None:
    _, made = example(PROGRAM)
    time = timeline(PROGRAM, made)
    roles = {track.name: track.role for track in time.tracks}
    assert roles["x"] == "stream" and roles["b0.n"] == "norm" and roles["b0.panel"] == "scratch"
    assert roles["b0.h"] == "linear" and roles["out"] == "output"
    assert time.moments[time.peak].live_bytes == max(m.live_bytes for m in time.moments)
    assert [m.block for m in time.moments][:2] == ["embed", "blocks.0"]
    for track in time.tracks:
        for first, last, lo, hi in track.spans:
            assert 0 <= first <= last < len(time.moments) and 0 <= lo < hi <= track.size_bytes


def test_blocks_are_told_from_layer_names() -> None:
    assert block_of("blocks.11.attn.qkv") == "blocks.11"
    assert block_of("/vit/encoder/layer.3/output/dense") == "/vit/encoder/layer.3"
    assert block_of("head") == "head"
    assert block_of("/fc_norm/LayerNormalization") == "fc_norm"


def test_text_chart() -> None:
    _, made = example(PROGRAM)
    text = chart(timeline(PROGRAM, made), width=40, height=6)
    lines = text.splitlines()
    assert len(lines) == 6 + 3 and all(len(line) <= 50 for line in lines[:7])
    assert f"{made.peak.live_bytes:,}" in lines[0] and "█" in lines[5]
    assert lines[-1] == f"peak {made.peak.live_bytes:,} B at blocks.0.fc1 (mcf_linear)"
