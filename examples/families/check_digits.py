"""Measures a compiled digits_hrformer on composed images: the float model's mask and key points, the code's.

    python examples/families/check_digits.py PACKAGE --data build/families/digits_test.npz
    python examples/families/check_digits.py PACKAGE --picture docs/families/digits.png --emulator unicorn

--picture draws images on photographs of scikit-learn, the mask and points of the float model, and those of
the code. Needs torch, onnxruntime, pillow, scikit-learn and mcuformer.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from digits import compose, in_bytes, located, mean_iou, pck, sources
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mcuformer.inputs.codec import device_bytes
from mcuformer.package.compiled import CompiledPackage, open_package
from mcuformer.package.execution import Executor, codec_of, output_values

SHOWN, SHOWN_SEED = 8, 6
Outputs = tuple[NDArray, NDArray]  # mask [N, 1, H, W], maps of key points [N, P, H, W]


def by_onnx(package: CompiledPackage, model: Path, pixels: NDArray[np.uint8]) -> Outputs:
    (x,) = codec_of(package).to_float([pixels])
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    found = [session.run(None, {"image": one[None]}) for one in x]
    return together(found)


def by_code(package: CompiledPackage, emulator: str, pixels: NDArray[np.uint8]) -> Outputs:
    with Executor(package, emulator) as executor:
        result = executor.run(device_bytes(codec_of(package).to_int([pixels])))
    return together(
        [[reals for _, reals in output_values(package, i.output)] for i in result.inferences]
    )


def together(found: Sequence[Sequence[NDArray]]) -> Outputs:
    mask, maps = (np.concatenate(each).astype(np.float32) for each in zip(*found, strict=True))
    return mask, maps


def sqnr(floats: NDArray, ours: NDArray) -> float:
    return float(10 * np.log10(np.square(floats).mean() / np.square(floats - ours).mean()))


def report(data: Path, limit: int, found: dict[str, Outputs], pixels: int) -> None:
    truth = {name: torch.from_numpy(a[:limit]) for name, a in np.load(data).items()}
    for name, (mask, maps) in found.items():
        iou = mean_iou(torch.from_numpy(mask), truth["mask"])
        within = pck(torch.from_numpy(maps), truth["points"], truth["side"])
        print(f"{name:6} mask mIoU {iou:.2f} %   key points PCK@0.1 {within:.2f} %")
    (mask, maps), (our_mask, our_maps) = found.values()
    same = 100 * np.mean((mask > 0) == (our_mask > 0))
    print(f"SQNR   mask {sqnr(mask, our_mask):.1f} dB, key points {sqnr(maps, our_maps):.1f} dB")
    print(f"{same:.2f} % of the pixels get the same class; {pixels} images")


def picture(images: NDArray[np.uint8], found: Sequence[Outputs], path: Path) -> None:
    """A column for each image: itself, then what each of `found` makes of it."""
    rows = [images.transpose(0, 2, 3, 1)]
    for mask, maps in found:
        grey = np.where(mask > 0, 255, 0).astype(np.uint8)
        row = np.repeat(grey, 3, 1).transpose(0, 2, 3, 1)
        rows.append(np.stack([dotted(*pair) for pair in zip(row, maps, strict=True)]))
    drawn = np.concatenate([np.concatenate(list(row), 1) for row in rows])
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(drawn).quantize(128).save(path, optimize=True)


def dotted(image: NDArray[np.uint8], maps: NDArray) -> NDArray[np.uint8]:
    """The key points as red dots."""
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    for x, y in located(torch.from_numpy(maps[None]))[0].tolist():
        draw.ellipse((x - 3, y - 3, x + 2, y + 2), fill=(230, 30, 30))
    return np.asarray(canvas)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", type=Path)
    parser.add_argument("--data", type=Path, help="of train_digits.py: digits_test.npz")
    parser.add_argument("--picture", type=Path, metavar="PNG")
    parser.add_argument("--emulator", default="host")
    parser.add_argument("--limit", type=int, default=1000)
    args = parser.parse_args()
    package = open_package(args.package)
    model = Path(package.report["model"]["path"])
    if args.data:
        pixels = np.load(args.data)["x"][: args.limit]
        found = {
            "float": by_onnx(package, model, pixels),
            "int8": by_code(package, args.emulator, pixels),
        }
        report(args.data, args.limit, found, len(pixels))
    if args.picture:
        rng = torch.Generator().manual_seed(SHOWN_SEED)
        images = in_bytes(compose(sources(None, "test"), SHOWN, rng))
        both = by_onnx(package, model, images), by_code(package, args.emulator, images)
        picture(images, both, args.picture)


if __name__ == "__main__":
    main()
