"""`train --from DIR --localize REPORT.json`: a ViT gets used to heads that see near patches alone.

REPORT.json is what `compile --localize-attention` wrote of the same network: which heads of which block
have which radius. The heads get that mask, and the file that `export` writes has it as a bias, which
`compile` recognises (passes/near_patches.py). At most two epochs: the mask was chosen for little loss.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mcuformer.errors import UsageError
from mcuformer.files.kept import read_json
from mcuformer.ir.neighbours import visible
from mcuformer.search.arch import Arch
from mcuformer.search.net import Attention, Network
from mcuformer.search.networks import AnyNetwork

MOST_EPOCHS = 2
MASKED_SCORE = -1e9  # a score that no softmax notices, and no arithmetic turns into nan
_BLOCK = re.compile(r"blocks\.(\d+)\.")
BlockRadii = Mapping[str, list[int]]  # block: radius per head; of train.json


def read_radii(path: Path) -> BlockRadii:
    """Of the report of a compilation; UsageError where it localised nothing of a ViT."""
    found = read_json(
        path, _radii, "give the report.json of compile --localize-attention", "no report"
    )
    if not found:
        raise UsageError(
            f"{path} has no near heads of a ViT", "compile --localize-attention RADIUS chooses some"
        )
    return found


def _radii(report: dict[str, Any]) -> BlockRadii:
    found = {}
    for chosen in report["localisation"]:
        for layer in chosen["layers"]:
            name = _BLOCK.search(layer["layer"])
            if name and any(layer["radii"]):
                found[name[1]] = [int(r) for r in layer["radii"]]
    return found


def localise_network(network: AnyNetwork, radii: BlockRadii) -> None:
    """Give its heads their masks; UsageError where the network has no such heads."""
    arch = network.arch
    if not isinstance(network, Network) or not isinstance(arch, Arch) or arch.relative:
        raise UsageError("--localize masks plain ViTs without relative positions", "leave it away")
    for block, per_head in radii.items():
        if int(block) >= arch.depth or len(per_head) != arch.heads:
            raise UsageError(
                f"block {block} with {len(per_head)} heads is none of this network",
                "give the report of the same network",
            )
        seen = np.stack([visible(arch.tokens, arch.grid, r) for r in per_head])
        mask = torch.from_numpy(np.where(seen, 0.0, MASKED_SCORE).astype(np.float32))
        attention = network.blocks[int(block)].attn
        assert isinstance(attention, Attention)
        attention.register_buffer("near", mask, persistent=False)
