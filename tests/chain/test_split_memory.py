"""Plans that need more than a board's first RAM: every region has an arena of its own."""

from __future__ import annotations

from pathlib import Path

from chain import follow
from util_models import VitConfig, images, vit

from mcuformer import quant
from mcuformer.files.paths import BOARDS
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


def test_three_rams_of_an_h743(tmp_path: Path) -> None:
    """On three buses, of which RCC has to switch one on; QEMU has them one behind the other."""
    banks = {"dtcm": (0x20000000, 7), "axi": (0x24000000, 2), "sram1": (0x30000000, 1)}
    text = (BOARDS / "nucleo-h743zi.toml").read_text()
    start, end = text.index("# The AXI SRAM"), text.index('[[memory]]\nname = "flash"')
    rows = [
        f'[[memory]]\nname = "{name}"\nkind = "ram"\nbase = {base}\nsize = "{kb}k"\n'
        for name, (base, kb) in banks.items()
    ]
    path = tmp_path / "banks.toml"
    path.write_text(text[:start] + "".join(rows) + text[end:])
    board = load_board(path)
    config = VitConfig(image=(16, 16), width=48, heads=3, hidden=96, blocks=1, pool="mean")
    graph = vit(config)
    lowered = quant.lower(graph, quant.calibrate(graph, images(config, 2), "minmax"))
    regions = [
        Arena(r.name, r.base, r.size_bytes - (board.stack_bytes + 1024 if i == 0 else 0))
        for i, r in enumerate(board.arenas)
    ]
    made = build(lowered, regions, "resident", "speed")
    assert all(use.used_bytes > 0 for use in made.plan.arenas)
    follow(made, tmp_path, ("host", "unicorn", "qemu"), str(path))
