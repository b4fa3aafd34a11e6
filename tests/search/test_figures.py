"""A candidate's figures are `analyze`'s, from shapes alone.

MCUFORMER_DRAWN=100 draws as many from each preset in the long test: some minutes each.
"""

import os
from dataclasses import replace
from random import Random

import pytest

from mcuformer.compile.options import CompileOptions
from mcuformer.compile.stages import analyze_model
from mcuformer.search.figures import Illegal, Limits, NetworkCost, Planner
from mcuformer.search.space import load_space
from mcuformer.targets.board_file import load_board


def quiet(*_):
    pass


def exported(arch, path):
    torch = pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")
    from mcuformer.search.net import initialise
    from mcuformer.search.networks import network_of

    network = network_of(arch).eval()
    random = torch.Generator().manual_seed(0)
    initialise(network, random)
    with torch.no_grad():
        for name, p in network.named_parameters():
            if name.endswith("relative"):  # zeros would be folded away
                p.normal_(generator=random)
            if name.endswith("bias"):
                p.normal_(0, 0.02, generator=random)
    h, w, c = arch.image
    torch.onnx.export(
        network,
        (torch.zeros(1, c, h, w),),
        str(path),
        dynamo=False,
        opset_version=17,
        input_names=["image"],
        output_names=["logits"],
    )
    return path


def compare(arch, tmp_path, mode, flash=None):
    board = load_board("stm32f746")
    planner = Planner(board, Limits(flash=flash), mode)
    cost = planner.cost(arch)
    c = arch.image[2]
    options = CompileOptions(
        model=exported(arch, tmp_path / f"{arch.key()}.onnx"),
        board="stm32f746",
        input_mode=mode,
        mean=(0.4,) * c,
        std=(0.3,) * c,
    )
    report = analyze_model(options, quiet).report
    memory = report["memory"]
    if isinstance(cost, Illegal):
        assert not report["fits"] or cost.where == "flash"
        return
    assert memory["arena_bytes"] == cost.arena_bytes, arch
    assert memory["scratch_bytes"] == memory["input_bytes"] == 0  # both lie in the arena
    assert memory["static_bytes"] == cost.static_bytes, arch
    assert memory["sram_total_bytes"] == cost.sram_total_bytes, arch
    assert report["flash"]["weights_bytes"] == cost.weights_bytes, arch
    # Epilogues and LayerNorms take a few instructions more or less by shifts that weights decide.
    assert report["estimate"]["instructions"] == pytest.approx(cost.instructions, rel=0.01), arch


def drawn(space, seed, count):
    random = Random(seed)
    return [space.decode(space.draw(random)) for _ in range(count)]


def test_random_networks_cost_what_analyze_says(tmp_path):
    for i, arch in enumerate(drawn(load_space("tiny"), 11, 3)):
        compare(arch, tmp_path, ("bands", "resident")[i % 2])


@pytest.mark.parametrize("case", ["padded", "conv", "cls depth 1", "low rank cls"])
def test_corners_of_the_space_cost_what_analyze_says(tmp_path, case):
    space = load_space("tiny")
    arch = {
        "padded": replace(space.smallest(), patch=5),
        "conv": replace(space.smallest(), stem="8/2", patch=4),
        "cls depth 1": space.smallest(pool="cls"),
        "low rank cls": replace(space.smallest(pool="cls"), rank_qkv=0.5, hidden=(16, 32)),
    }[case]
    compare(arch, tmp_path, "bands")


def varied(preset):
    """A preset with what else the compiler handles: padded patches, stems, positions."""
    space = load_space(preset)
    if preset == "tiny":
        return space.with_choices(patch=(8, 7, 6, 5, 4, 3))
    if preset == "imagenet":  # fewer blocks, which are all alike: analyze takes long enough
        return space.with_choices(depth=(2, 3), relative=(False, True)).sized((240, 240, 3), 10)
    return space


def mode_of(i):
    return ("bands", "resident")[i % 2]


@pytest.mark.long
@pytest.mark.parametrize(("preset", "count"), [("tiny", 12), ("cifar", 12), ("imagenet", 12)])
def test_drawn_networks_cost_what_analyze_says(tmp_path, preset, count):
    count = int(os.environ.get("MCUFORMER_DRAWN", count))
    for i, arch in enumerate(drawn(load_space(preset), 23, count)):
        compare(arch, tmp_path, mode_of(i), 16 << 20)
        (tmp_path / f"{arch.key()}.onnx").unlink()


@pytest.mark.long
@pytest.mark.parametrize("preset", ["focal", "twins", "s3"])
def test_drawn_networks_of_other_families_cost_what_analyze_says(tmp_path, preset):
    """Contexts, windows that are shifted and padded, sub-sampled keys: two networks each."""
    for i, arch in enumerate(drawn(load_space(preset), 29, 2)):
        compare(arch, tmp_path, mode_of(i))


@pytest.mark.long
@pytest.mark.parametrize(("preset", "count"), [("tiny", 40), ("imagenet", 8)])
def test_varied_networks_cost_what_analyze_says(tmp_path, preset, count):
    for i, arch in enumerate(drawn(varied(preset), 5, count)):
        if preset == "tiny" and i % 4 == 3:
            stem, patch = (("8/2", 4), ("8/2-12/2", 8), ("12", 2))[i // 4 % 3]
            arch = replace(arch, stem=stem, patch=patch)
        compare(arch, tmp_path, mode_of(i), 16 << 20)
        (tmp_path / f"{arch.key()}.onnx").unlink()


def test_each_limit_is_named_where_it_is_broken():
    board, arch = load_board("stm32f746"), load_space("tiny").largest()
    for limits, where in (
        (Limits(ram=4096), "ram"),
        (Limits(flash=60 * 1024), "flash"),
        (Limits(max_instructions=1000), "instructions"),
    ):
        found = Planner(board, limits).cost(arch)
        assert isinstance(found, Illegal) and found.where == where and found.needs > found.limit


def test_less_ram_is_never_exceeded():
    board, arch = load_board("stm32f746"), load_space("tiny").largest()
    free = Planner(board, Limits()).cost(arch)
    assert isinstance(free, NetworkCost)
    for ram in range(free.sram_total_bytes, 8 * 1024, -2048):
        found = Planner(board, Limits(ram=ram)).cost(arch)
        if isinstance(found, NetworkCost):
            assert found.sram_total_bytes <= ram and found.instructions >= free.instructions
