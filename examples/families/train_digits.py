"""Trains a narrow HRFormer on two dense tasks at once, in 10 to 20 minutes of one CPU core.

The images are composed (digits.py): the mask of a handwritten digit on a photograph, and its centre and
corners as key points. Writes into --out:
  digits_hrformer.onnx    the trained network, float16 weights, mean and std in its metadata
  digits_hrformer.log     what was printed
and into --work, after each epoch, what a stopped run goes on from, and digits_test.npz and
digits_calibration.npz: composed images, to check and calibrate with.

Needs, in a virtual environment of its own:
  pip install torch==2.13.0 onnx pillow scikit-learn mcuformer     # the CPU wheel
and CIFAR-10 as JPEG files in an archive with folders train/CLASS and test/CLASS.

Run: python examples/families/train_digits.py --photographs cifar10-jpeg.tar.xz
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from digits import POINTS, SIZE, Scenes, compose, in_bytes, mean_iou, pck, sources
from hrformer import HRFormer, Sizes
from torch import Tensor, nn
from torch.nn import functional
from training import Log, export, fit

NAME = "digits_hrformer"
SIZES = Sizes(8, (1, 2, 4), (1, 1), blocks=1, stem=8)
MEAN, STD = 0.47, 0.25
MAPS = 200.0  # the weight of the key points' loss
TESTED, CALIBRATED = 1000, 128
TEST_SEED = 1000


def normed(image: Tensor) -> Tensor:
    """Channels last: a fifth faster on a CPU."""
    return ((image - MEAN) / STD).contiguous(memory_format=torch.channels_last)


def measured(model: nn.Module, scenes: Scenes) -> tuple[float, float]:
    """mIoU of the mask and PCK@0.1 of the key points, in percent."""
    model.eval()
    with torch.no_grad():
        parts = [model(normed(image)) for image in scenes.image.split(100)]
    mask, maps = (torch.cat(each) for each in zip(*parts, strict=True))
    return mean_iou(mask, scenes.mask), pck(maps, scenes.points, scenes.side)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", type=Path, required=True, help="the archive")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--steps", type=int, default=200, help="of an epoch")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--start", type=Path, help="weights to start from (a state of --work)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--work", type=Path, default=Path("build/families"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.work.mkdir(parents=True, exist_ok=True)

    given = {part: sources(args.photographs, part) for part in ("train", "test")}
    test = compose(given["test"], TESTED, torch.Generator().manual_seed(TEST_SEED))
    np.savez_compressed(
        args.work / "digits_test.npz",
        x=in_bytes(test), mask=test.mask.numpy(), points=test.points.numpy(), side=test.side.numpy(),
    )  # fmt: skip
    seen = compose(given["train"], CALIBRATED, torch.Generator().manual_seed(TEST_SEED))
    np.savez_compressed(args.work / "digits_calibration.npz", x=in_bytes(seen))

    model = HRFormer(SIZES, "dense", len(POINTS)).to(memory_format=torch.channels_last)
    if args.start:
        model.load_state_dict(torch.load(args.start, weights_only=True)["model"])
    log = Log(args.out / f"{NAME}.log")
    log(f"{NAME}: {sum(p.numel() for p in model.parameters()):,} parameters, seed {args.seed}")

    def epoch_of(rng: torch.Generator) -> Iterator[tuple[Scenes]]:
        return ((compose(given["train"], args.batch, rng),) for _ in range(args.steps))

    def loss_of(scenes: Scenes) -> Tensor:
        mask, maps = model(normed(scenes.image))
        points = MAPS * functional.mse_loss(maps, scenes.maps())
        return points + functional.binary_cross_entropy_with_logits(mask, scenes.mask.float())

    state = args.work / f"{NAME}.pt"
    fit(
        model, epoch_of, loss_of, args.epochs, args.steps, args.rate, args.seed, state, log
    )  # fmt: skip
    iou, within = measured(model, test)
    log(f"mask mIoU {iou:.2f} %, key points PCK@0.1 {within:.2f} %")
    notes = {
        "mcuformer.mean": f"{MEAN}",
        "mcuformer.std": f"{STD}",
        "accuracy": f"mIoU {iou:.2f} %, PCK@0.1 {within:.2f} % of {TESTED:,} composed test images",
    }
    image = torch.zeros(1, 3, SIZE, SIZE)
    export(model, image, ["mask", "keypoints"], args.out / f"{NAME}.onnx", notes)


if __name__ == "__main__":
    main()
