"""One firmware, three widths: accuracy on test images, instructions and time of each, run in Unicorn.

  mcuformer compile examples/digits_widths --operating-points 0.25,0.5,1 --board stm32f746 \
      --calibration examples/digits_widths/calibration.npz -o build/widths --name eye
  python examples/03_widths.py build/widths

The network was trained by (3 minutes of one CPU core; examples/digits_widths/train.json says with what result)

  mcuformer train examples/digits_widths/arch.json --data digits -o run --slimmable --ratios 0.25,0.5,1 \
      --epochs 60 --batch 64 --threads 1
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

TEST = Path(__file__).parent / "digits_widths" / "test.npz"
SHADES = " .:-=+*#%@"


def drawing(pixels: np.ndarray) -> list[str]:
    """uint8 [24, 24] as 12 lines of 24 characters."""
    rows = pixels.reshape(12, 2, 24).mean(axis=1) / 256 * len(SHADES)
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
    parser.add_argument("--images", type=int, default=0, help="at most so many, 0 for all")
    args = parser.parse_args()
    package, limit = str(args.package), str(args.images)
    if not (args.package / "report.json").is_file():
        parser.error(f"{package} is no package that mcuformer compile left")

    report = json.loads((args.package / "report.json").read_text())
    found = mcuformer(
        "validate", package, "--data", str(TEST), "--emulator", "unicorn", "--limit", limit, "--timeout", "600"
    )  # fmt: skip
    x = np.load(TEST)["x"]
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file.name, x[:1])
        one = ["run", package, "--input", file.name, "--raw"]
        runs = [mcuformer(*one, "--width", row["label"]) for row in report["variants"]]

    print("\n".join(line.rstrip() for line in drawing(x[0, 0]) if line.strip()) + "\n")
    head = ("width", "sees", "accuracy %", "float %", "SRAM bytes", "instructions", "ms", "bits")
    print("{:>5} {:>5} {:>10} {:>8} {:>10} {:>12} {:>6}  {}".format(*head))
    clock = report["variants"][-1]["instructions"] / report["variants"][-1]["seconds"]
    for row, own, run in zip(report["variants"], found["widths"], runs, strict=True):
        print(
            f"{row['label']:>5} {int(np.argmax(run['outputs'][0]['data'])):5} {own['accuracy']['percent']:10.2f} "
            f"{own['accuracy']['float_percent']:8.2f} {row['sram_total_bytes']:10,} {run['instructions']:12,} "
            f"{1000 * run['instructions'] / clock:6.2f}  "
            f"{'equal' if own['bit_exact']['equal'] else 'DIFFER'}"
        )
    flash = report["flash"]
    print(
        f"\n{found['widths'][0]['samples']} images; one firmware of {flash['total_bytes']:,} B of flash, "
        f"{flash['weights_bytes']:,} of them weights and tables of all widths"
    )
    print("bits: of the samples that the interpreter ran, too; ms: one instruction a cycle")


if __name__ == "__main__":
    main()
