"""One firmware, one network, several tasks: accuracy on test images and instructions of each, run in Unicorn.

  mcuformer compile examples/cifar10_tasks --adapters digits,fashion --board stm32f746 -o build/tasks --name eye
  python examples/04_tasks.py build/tasks

The network is examples/cifar10_flagship.onnx, which knows colour photographs of ten kinds. examples/cifar10_tasks
has, of each task, the numbers that were trained beside it (`last.pt`), images to calibrate with and images to judge by;
docs/one-model-many-places.md says how they were trained.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

TASKS = Path(__file__).parent / "cifar10_tasks"
SHADES = " .:-=+*#%@"


def drawing(pixels: np.ndarray) -> list[str]:
    """uint8 [32, 32] as 16 lines of 32 characters."""
    rows = pixels.reshape(16, 2, 32).mean(axis=1) / 256 * len(SHADES)
    return ["".join(SHADES[int(v)] for v in row) for row in rows]


def mcuformer(*arguments: str) -> Any:
    command = [sys.executable, "-m", "mcuformer", *arguments, "--json"]
    result = subprocess.run(command, check=False, stdout=subprocess.PIPE)
    if result.returncode:  # it has said why
        sys.exit(result.returncode)
    return json.loads(result.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("package", type=Path)
    parser.add_argument("--images", type=int, default=20, help="of each task, 0 for all")
    args = parser.parse_args()
    package, limit = str(args.package), str(args.images)
    if not (args.package / "report.json").is_file():
        parser.error(f"{package} is no package that mcuformer compile left")

    report = json.loads((args.package / "report.json").read_text())
    lines, pictures = [], []
    for row in report["variants"]:
        name, test = row["label"], TASKS / row["label"] / "test.npz"
        found = mcuformer(
            "validate", package, "--task", name, "--data", str(test), "--emulator", "unicorn", "--limit", limit,
            "--timeout", "900",
        )  # fmt: skip
        with np.load(test) as data:
            image, label, classes = data["x"][:1], int(data["y"][0]), data["classes"]
        run = seen(package, name, image)
        said = classes[int(np.argmax(run["outputs"][0]["data"]))]
        pictures.append((drawing(image[0, 0]), f"{name}: {said} (it is {classes[label]})"))
        lines.append(
            f"{name:>8} {found['accuracy']['percent']:10.2f} {found['accuracy']['float_percent']:8.2f} "
            f"{found['samples']:6} {row['sram_total_bytes']:10,} {run['instructions']:12,} "
            f"{'equal' if found['bit_exact']['equal'] else 'DIFFER'}"
        )
    for drawn, text in pictures:
        print("\n".join(line.rstrip() for line in drawn if line.strip()) + f"\n{text}\n")
    print("    task accuracy %  float % images SRAM bytes instructions bits")
    print("\n".join(lines))
    flash = report["flash"]
    print(
        f"\none firmware of {flash['total_bytes']:,} B of flash, {flash['weights_bytes']:,} of them weights "
        "and tables of all tasks"
    )


def seen(package: str, task: str, image: np.ndarray) -> Any:
    """What `run` says of one image [1, C, H, W] of bytes."""
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file.name, image)
        return mcuformer("run", package, "--task", task, "--input", file.name, "--raw")


if __name__ == "__main__":
    main()
