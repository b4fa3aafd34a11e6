"""Float graph and outline of hierarchical networks are what the frontend and the lowering make of exports."""

from dataclasses import replace

import numpy as np
import pytest
from test_figures import drawn, exported, quiet
from test_outline import same

from mcuformer.compile.options import CompileOptions
from mcuformer.compile.quantise import measured, quantised
from mcuformer.compile.source import read_source
from mcuformer.frontend import load_model
from mcuformer.kernels.relative import stored_small
from mcuformer.operators.flash_bytes import flash_bytes
from mcuformer.operators.outline import outline
from mcuformer.operators.verify import verify
from mcuformer.passes import run_float_passes
from mcuformer.search.mixer_graphs import bias_saved, row_orders
from mcuformer.search.mixers import FocalModulation, ReducedAttention, WindowAttention
from mcuformer.search.pyramid import Pyramid, Stage
from mcuformer.search.pyramid_graph import pyramid_graph, pyramid_outline
from mcuformer.search.space import load_space


def pyramid(*stages, image=(28, 28, 1), patch=4, stem="patch", **more):
    made = tuple(Stage(dim, 2 * dim, mixers) for dim, mixers in stages)
    frame = {"family": "windows", "image": image, "classes": 10, "stem": stem, "patch": patch}
    return Pyramid(**frame, stages=made, **more)


def windows(rows, columns, shift=(0, 0), relative=True):
    return WindowAttention(rows, columns, 2, 8, shift, relative)


CASES = {
    "contexts": pyramid(
        (16, (FocalModulation(3, 2),)), (32, (FocalModulation(5, 1), FocalModulation(3, 3)))
    ),
    "padded windows": pyramid((16, (windows(4, 4), windows(4, 4, (2, 2))))),
    "one line of windows": pyramid((16, (windows(7, 4, (0, 2)), windows(7, 2)))),
    "no bias": pyramid((16, (windows(3, 3, relative=False), windows(3, 3, (1, 1), False)))),
    "one window": pyramid((16, (windows(7, 7),)), (32, (windows(4, 4, relative=False),))),
    "keys": pyramid(
        (16, (windows(7, 7, relative=False), ReducedAttention(3, 2, 8))),
        (32, (ReducedAttention(2, 1, 12), ReducedAttention(1, 2, 8))),
        conditional=True,
    ),
    "an odd image": pyramid(
        (16, (windows(4, 3, (2, 1)),)),
        (24, (ReducedAttention(2, 2, 8),)),
        (32, (FocalModulation(3, 1),)),
        image=(26, 21, 3),
    ),
    "convolutions": pyramid((16, (windows(7, 7, (3, 3)),)), patch=2, stem="8/2"),
}


def same_graphs(arch, tmp_path):
    path = exported(arch, tmp_path / f"{arch.key()}.onnx")
    read = load_model(path, {})
    same(verify(run_float_passes(pyramid_graph(arch))), read, arch)
    c = arch.image[2]
    options = CompileOptions(model=path, board="stm32f746", mean=(0.4,) * c, std=(0.3,) * c)
    graph = quantised(measured(read_source(options), read, False, quiet))[0]
    planned = verify(pyramid_outline(arch))
    same(planned, outline(graph), arch)
    return flash_bytes(planned), flash_bytes(graph)


@pytest.mark.parametrize("case", CASES)
def test_the_graphs_are_those_of_the_export(tmp_path, case):
    planned, made = same_graphs(CASES[case], tmp_path)
    assert planned == made  # relative positions and masks as small as they are stored


@pytest.mark.parametrize("preset", ["focal", "twins", "s3"])
def test_the_graphs_of_a_random_network(tmp_path, preset):
    for arch in drawn(load_space(preset), 31, 1):
        planned, made = same_graphs(arch, tmp_path)
        assert planned == made


def test_rows_come_back_from_their_windows():
    for mixer, grid in ((windows(4, 4, (2, 2)), (7, 7)), (windows(3, 5), (6, 10))):
        order, back = row_orders(mixer, grid)
        assert [order[i] for i in back] == list(range(grid[0] * grid[1]))


def test_what_a_bias_saves_is_what_its_table_takes_less():
    mixer = windows(7, 7)
    bias = 2 * np.zeros((2, 49, 49), np.int16).nbytes  # as flash_bytes counts one
    assert bias_saved(mixer, (7, 7)) == bias - 2 * 2 * 13 * 13
    assert bias_saved(replace(mixer, relative=False), (7, 7)) == 0
    assert bias_saved(windows(2, 2), (2, 2)) == 0  # small ones stay as they are
    assert stored_small(np.zeros((2, 4, 4), np.int16), 2) is None
