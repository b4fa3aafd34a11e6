"""A whole model, start-up code included, on every core for which QEMU has a machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from chain import follow, scheduled
from util_models import VitConfig, images, vit

from mcuformer import quant
from mcuformer.targets.board_file import load_board
from mcuformer.targets.cores import CORES


@pytest.mark.parametrize("core", [name for name, row in CORES.items() if row.qemu is not None])
def test_every_core(core: str, tmp_path: Path) -> None:
    config = VitConfig(stem=True, attention_bias=True)
    graph = vit(config)
    lowered = quant.lower(graph, quant.calibrate(graph, images(config, 8)))
    board = replace(load_board("stm32f429"), core=core)
    follow(scheduled(lowered, "resident", "balanced"), tmp_path, ("qemu",), board)
