"""Runs the compiled example firmware in Unicorn on real images and prints what it sees.

  mcuformer compile examples/fashion_vit.onnx --board stm32f746 \
      --calibration examples/fashion_calibration.npz -o build/demo
  python examples/02_classify.py build/demo [--images 8]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
SHADES = " .:-=+*#%@"


def drawing(pixels: np.ndarray) -> list[str]:
    """uint8 [28, 28] as 14 lines of 28 characters, two pixel rows a line."""
    rows = pixels.reshape(14, 2, 28).mean(axis=1) / 256 * len(SHADES)
    return ["".join(SHADES[int(v)] for v in row) for row in rows]


def run(firmware: Path, image: np.ndarray) -> dict:
    """One inference: `mcuformer run --raw` on uint8 pixels [1, 1, 28, 28]."""
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file.name, image)
        command = ["run", str(firmware), "--input", file.name, "--raw", "--json"]
        result = subprocess.run(
            [sys.executable, "-m", "mcuformer", *command], check=False, stdout=subprocess.PIPE
        )
    if result.returncode:  # it has said why
        sys.exit(result.returncode)
    return json.loads(result.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("firmware", type=Path)
    parser.add_argument("--images", type=int, default=8)
    args = parser.parse_args()

    data = np.load(HERE / "fashion_test.npz")
    classes, right, result = data["classes"], 0, {}
    for number in range(args.images):
        image, label = data["x"][number], int(data["y"][number])
        result = run(args.firmware, image[None])
        seen = int(np.argmax(result["outputs"][0]["data"]))
        right += seen == label
        verdict = "right" if seen == label else f"wrong, it is {classes[label]}"
        lines = drawing(image[0])
        lines[6] += f"   image {number}: {classes[seen]} ({verdict})"
        lines[7] += f"   {result['instructions']:,} instructions"
        print("\n".join(line.rstrip() for line in lines if line.strip()) + "\n")
    print(f"{right} of {args.images} right, in {result['emulator']}")
    print(f"SRAM used, measured by painting it: {result['sram_high_water_bytes']:,} B")


if __name__ == "__main__":
    main()
