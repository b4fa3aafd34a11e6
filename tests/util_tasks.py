"""A small network with adapters for three tasks of other classes, as files with samples beside them."""

import sys
from pathlib import Path

import numpy as np
import torch

from mcuformer.search.adapters import Adapted, folded
from mcuformer.search.arch import Arch
from mcuformer.search.data import Data, Images
from mcuformer.search.finish import export
from mcuformer.search.net import Network, initialise

CLASSES = (5, 8, 5)  # the first and the last run the same steps
MEAN, STD = (0.4, 0.5, 0.45), (0.25, 0.2, 0.3)


def write_tasks(
    folder,
    dim=16,
    depth=2,
    rank=4,
    seed=0,
    side=16,
    heads=2,
    mlp=2,
    classes_of=CLASSES,
    attention_only=False,
):
    """model.onnx, folded.onnx and calibration.npz in t0, t1, t2."""
    generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    arch = Arch(
        image=(side, side, 3), classes=4, stem="patch", patch=4, pool="mean", relative=False, dim=dim,
        heads=heads, head_dim=dim // heads, hidden=(mlp * dim,) * depth,
    )  # fmt: skip
    base = Network(arch).eval()
    initialise(base, generator)
    stir(base, generator)
    for i, classes in enumerate(classes_of):
        model = Adapted(base, classes, rank, attention_only, generator)
        stir(model, generator)
        x = (rng.integers(0, 256, (24, 3, side, side)) * (0.4 + 0.3 * i)).astype(np.uint8)
        images = Images(x, np.arange(24) % classes)
        data = Data("t", images, images, tuple(map(str, range(classes))), MEAN, STD, False)
        (folder / f"t{i}").mkdir(parents=True)
        export(model.network, data, folder / f"t{i}/model.onnx")
        export(folded(model.network), data, folder / f"t{i}/folded.onnx")
        np.savez(folder / f"t{i}/calibration.npz", x=x)


@torch.no_grad()
def stir(module, generator):
    """No number is what it starts as."""
    for p in module.parameters():
        p.add_(0.05 * torch.randn(p.shape, generator=generator))


if __name__ == "__main__":
    place, dim, depth, rank = sys.argv[1:]
    write_tasks(
        Path(place), int(dim), int(depth), int(rank), 0, 32, int(dim) // 32, 4, (10, 10, 10)
    )
