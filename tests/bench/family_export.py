"""The child of family_table.py in an environment with timm: exports models of its list to ONNX.

    PATH family_export.py FOLDER NAME...

Weights are random (timm's own, seeded); BatchNorms know the statistics of noise.
"""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

from family_list import EXAMPLES, Model, chosen


def main() -> int:
    folder, *names = sys.argv[1:]
    warnings.filterwarnings("ignore")
    for model in (m for m in chosen([]) if m.name in names):
        path = Path(folder) / f"{model.name}.onnx"
        part = path.with_suffix(".part")
        of_examples(model, part) if model.made_by else of_timm(model, part)
        part.replace(path)
    return 0


def of_examples(model: Model, path: Path) -> None:
    file, *arguments = model.made_by
    argv = [sys.executable, str(EXAMPLES / file), *arguments, "-o", str(path)]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


def of_timm(model: Model, path: Path) -> None:
    import timm
    import torch

    torch.manual_seed(0)
    net = timm.create_model(model.make or model.name, pretrained=False).eval()
    shape = (3, model.size, model.size)
    with torch.no_grad():
        for norm in net.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.momentum = None
                norm.train()
        net(torch.randn(8, *shape))
    torch.onnx.export(
        net.eval(), torch.randn(1, *shape), str(path), opset_version=17, dynamo=False,
        input_names=["input"], output_names=["output"],
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
