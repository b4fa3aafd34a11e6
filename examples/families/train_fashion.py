"""Trains a small FocalNet, Twins-PCPVT or Swin on Fashion-MNIST, in 10 to 40 minutes of one CPU core.

Writes into --out:
  fashion_FAMILY.onnx     the trained network, float16 weights, mean and std in its metadata
  fashion_FAMILY.log      what was printed
and into --work fashion_test.npz, the 10,000 labelled test images, and after each epoch what a stopped run
goes on from.

Needs, in a virtual environment of its own:
  apt-get install dataset-fashion-mnist        # the data, copyright Zalando SE, MIT licence
  pip install torch==2.13.0 onnx mcuformer     # the CPU wheel

Run: python examples/families/train_fashion.py --family swin
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import focalnet
import numpy as np
import swin
import torch
import twins
from torch import Tensor, nn
from torch.nn import functional
from training import Log, export, fit, read_idx

from mcuformer.search.data import FASHION_CLASSES

SIZE = 28
FAMILIES: dict[str, Callable[[], nn.Module]] = {
    "focalnet": lambda: focalnet.FocalNet(
        focalnet.Shape(2, (24, 48), (1, 3), normalize=True), len(FASHION_CLASSES), channels=1
    ),
    "twins": lambda: twins.Twins(
        twins.Shape((2, 2), (24, 48), (1, 3), (1, 3), (2, 1)), len(FASHION_CLASSES), channels=1
    ),
    "swin": lambda: swin.Swin(
        swin.Shape(2, (24, 48), (2, 3), (1, 3), (7, 7), ratio=2, stem=12),
        SIZE,
        len(FASHION_CLASSES),
        channels=1,
    ),
}


def mirrored(x: Tensor, rng: torch.Generator) -> Tensor:
    """Each image of x [N, 1, 28, 28] left to right with probability 1/2."""
    flip = torch.rand(len(x), 1, 1, 1, generator=rng) < 0.5
    return torch.where(flip, x.flip(3), x)


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Percent of images whose largest logit is the label."""
    model.eval()
    with torch.no_grad():
        pairs = zip(x.split(500), y.split(500), strict=True)
        hits = sum((model(a).argmax(1) == b).sum().item() for a, b in pairs)
    return 100 * hits / len(y)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", choices=FAMILIES, required=True)
    parser.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--work", type=Path, default=Path("build/families"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.work.mkdir(parents=True, exist_ok=True)

    images = {s: read_idx(args.data / f"{s}-images-idx3-ubyte.gz") for s in ("train", "t10k")}
    labels = {s: read_idx(args.data / f"{s}-labels-idx1-ubyte.gz") for s in ("train", "t10k")}
    mean, std = float(images["train"].mean() / 255), float(images["train"].std() / 255)
    x = {s: (torch.tensor(a)[:, None].float() / 255 - mean) / std for s, a in images.items()}
    y = {s: torch.from_numpy(a.astype(np.int64)) for s, a in labels.items()}
    np.savez(args.work / "fashion_test.npz", x=images["t10k"][:, None], y=labels["t10k"])

    model = FAMILIES[args.family]()
    name = f"fashion_{args.family}"
    log = Log(args.out / f"{name}.log")
    log(f"{name}: {sum(p.numel() for p in model.parameters()):,} parameters, seed {args.seed}")

    def epoch_of(rng: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        for i in torch.randperm(len(y["train"]), generator=rng).split(args.batch):
            yield mirrored(x["train"][i], rng), y["train"][i]

    def loss_of(xb: Tensor, yb: Tensor) -> Tensor:
        return functional.cross_entropy(model(xb), yb)

    state = args.work / f"{name}.pt"
    steps = -(-len(y["train"]) // args.batch)
    fit(model, epoch_of, loss_of, args.epochs, steps, args.rate, args.seed, state, log)
    percent = accuracy(model, x["t10k"], y["t10k"])
    log(f"test accuracy {percent:.2f} %")
    notes = {
        "mcuformer.mean": f"{mean:.6f}",
        "mcuformer.std": f"{std:.6f}",
        "mcuformer.classes": ",".join(FASHION_CLASSES),
        "accuracy": f"{percent:.2f} % of the 10,000 Fashion-MNIST test images",
    }
    image = torch.zeros(1, 1, SIZE, SIZE)
    export(model, image, ["logits"], args.out / f"{name}.onnx", notes)


if __name__ == "__main__":
    main()
