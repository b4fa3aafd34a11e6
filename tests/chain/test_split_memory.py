"""A plan that needs the core-coupled RAM of an STM32F429 beside its 192 KB: both regions in use."""

from __future__ import annotations

from pathlib import Path

from chain import follow
from util_models import VitConfig, images, vit

from mcuformer import quant
from mcuformer.memory.check import check
from mcuformer.memory.model import Arena
from mcuformer.memory.simulate import simulate
from mcuformer.plan.fit import build
from mcuformer.targets.board_file import load_board


def test_a_plan_over_192_kb_runs_with_ccm(tmp_path: Path) -> None:
    config = VitConfig(image=(72, 72), width=96, heads=3, hidden=384, blocks=1, pool="mean")
    graph = vit(config)
    lowered = quant.lower(graph, quant.calibrate(graph, images(config, 2), "minmax"))
    board = load_board("stm32f429i-disco")
    beside = board.stack_bytes + 1024
    regions = [
        Arena(r.name, r.base, r.size_bytes - (beside if i == 0 else 0))
        for i, r in enumerate(board.arenas)
    ]
    made = build(lowered, regions, "bands", "speed")
    check(made.program, made.plan)
    simulate(made.program, made.plan)
    assert made.plan.arena_bytes > 196_608
    assert all(use.used_bytes > 0 for use in made.plan.arenas)
    follow(made, tmp_path, ("host", "unicorn"), board.name)
