"""Where things lie on a Cortex-M7: loops in ITCM, panels and stack in DTCM, weights at cache lines."""

from __future__ import annotations

from pathlib import Path

import pytest
from chain import draw_inputs, joined
from util_models import VitConfig, images, vit

from mcuformer import quant
from mcuformer.codegen.constants import Store, collect
from mcuformer.codegen.package import write_package
from mcuformer.codegen.symbols import Symbols
from mcuformer.memory.model import arenas_of
from mcuformer.plan.fit import Schedule, build
from mcuformer.targets import unicorn_runner
from mcuformer.targets.board_file import load_board
from mcuformer.targets.elf import Elf, read_elf
from mcuformer.targets.firmware import build_firmware
from mcuformer.util.names import model_identifier

F746 = load_board("stm32f746")
HOT = (
    "mcf_dot", "mcf_dot_expand8", "mcf_dot_pair_s8", "mcf_dot_s8_table11_shift3", "mcf_scores",
    "mcf_weigh8", "exponentials", "mcf_scaled_moments", "mcf_normalise_scaled",
)  # fmt: skip
Built = tuple[Schedule, Elf]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    config = VitConfig(image=(56, 56), patch=8, width=64, heads=2, hidden=256, blocks=2)
    graph = vit(config)
    lowered = quant.lower(graph, quant.calibrate(graph, images(config, 4), "minmax"))
    made = build(lowered, arenas_of(F746, F746.stack_bytes + 600), "bands")
    folder = tmp_path_factory.mktemp("places")
    write_package(folder, made.program, made.plan, F746, "qspi")
    return made, read_elf(build_firmware(folder, F746))


def test_hot_loops_run_from_itcm(built: Built) -> None:
    made, elf = built
    itcm = F746.itcm
    assert itcm is not None and itcm.size_bytes == 12 * 1024
    assert all(elf.address(name) in itcm for name in HOT)
    x = joined(draw_inputs(made.graph))
    blocks = unicorn_runner.run(elf.path, F746, [x]).blocks
    assert blocks is not None
    executed = {hot: sum(size * n for a, (size, n) in blocks.items() if (a in itcm) == hot)
                for hot in (True, False)}  # fmt: skip
    assert executed[True] > 4 * executed[False]


def test_panels_and_stack_lie_in_dtcm(built: Built) -> None:
    made, elf = built
    dtcm_end = F746.arenas[0].base + F746.arenas[0].fast_bytes
    assert elf.address("mcf_stack_top") <= dtcm_end
    arena = elf.section(".mcf_arena")
    assert arena is not None
    panels = [b for b in made.program.buffers.values() if b.hint == "fast"]
    ends = [arena.address + made.plan.placements[b.name].offset + b.size_bytes for b in panels]
    assert len(panels) > 10 and max(ends) <= dtcm_end


def test_weights_begin_at_cache_lines(built: Built) -> None:
    made, elf = built
    store = Store()
    collect(made.program, Symbols(model_identifier(made.program.name)), store)
    weights = [a for a in store.arrays if a.role == "weights" and a.align > 4]
    assert len(weights) > 10
    assert {elf.address(a.name) % 32 for a in weights} == {0}
    assert all(0x90000000 <= elf.address(a.name) < 0x91000000 for a in weights)


@pytest.mark.parametrize("define", ("MCF_LDR",))
def test_the_other_variant_fits_too_and_gives_the_same_bits(
    built: Built, define: str, tmp_path: Path
) -> None:
    made, elf = built
    other = build_firmware(elf.path.parents[1], F746, build=tmp_path, defines=(define,))
    x = joined(draw_inputs(made.graph))
    runs = [unicorn_runner.run(path, F746, [x]).inferences[0] for path in (elf.path, other)]
    assert runs[0].output == runs[1].output
    assert (runs[0].instructions or 0) < (runs[1].instructions or 0)
