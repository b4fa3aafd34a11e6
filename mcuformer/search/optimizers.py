"""Which parameters are trained by which optimizer, and which of them decay."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mcuformer.search.muon import Muon


def optimizers_of(
    model: nn.Module, lr: float, weight_decay: float, matrices_by_muon: bool
) -> list[torch.optim.Optimizer]:
    """Decay for matrices only; `factor` scales the rate of a group."""
    named = list(model.named_parameters())
    matrices = [p for n, p in named if _is_matrix(n, p)] if matrices_by_muon else []
    taken = {id(p) for p in matrices}
    rest = [(n, p) for n, p in named if id(p) not in taken]
    decayed = [p for n, p in rest if p.ndim >= 2 and "position" not in n and "relative" not in n]
    kept = {id(p) for p in decayed}
    plain = [p for _, p in rest if id(p) not in kept]
    groups = [
        {"params": decayed, "weight_decay": weight_decay, "factor": 1.0},
        {"params": plain, "weight_decay": 0.0, "factor": 1.0},
    ]
    found: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=lr)]
    if matrices:
        muon = Muon(matrices, lr=lr, weight_decay=weight_decay)
        muon.param_groups[0]["factor"] = 1.5
        found.append(muon)
    return found


def _is_matrix(name: str, p: Tensor) -> bool:
    """Hidden layers: not the patches, the positions, or the head."""
    return ("blocks" in name and p.ndim == 2 and "relative" not in name) or (
        "conv" in name and p.ndim == 4
    )
