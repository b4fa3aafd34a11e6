"""Muon (Jordan et al., 2024): momentum whose matrix steps are orthogonalised, in float32.

torch.optim.Muon iterates in bfloat16, for which a CPU without such units takes 15 times as long,
and leaves out convolutions; here their kernels count as matrices [out, in * height * width].
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic that drives singular values towards 1
_ITERATIONS = 5
_RMS = 0.2  # of a step per unit of rate: what AdamW's steps come to (Liu et al., arXiv 2502.16982)


class Muon(torch.optim.Optimizer):
    """Nesterov momentum for weights of two dimensions and more; decoupled weight decay."""

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        weight_decay: float,
        momentum: float = 0.95,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Matrices of one shape go through the iteration together: a GPU waits for launches else."""
        assert closure is None
        for group in self.param_groups:
            alike: dict[tuple[int, int], list[nn.Parameter]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    alike.setdefault((len(p), p.numel() // len(p)), []).append(p)
            for same in alike.values():
                self._update(same, group)

    def _update(self, params: list[nn.Parameter], group: dict[str, Any]) -> None:
        for p in params:
            if not self.state[p]:
                self.state[p]["momentum"] = torch.zeros_like(p)
        averages = [self.state[p]["momentum"] for p in params]
        grads = [p.grad for p in params if p.grad is not None]
        torch._foreach_lerp_(averages, grads, 1 - group["momentum"])
        steps = torch.stack(
            [
                g.lerp(a, group["momentum"]).reshape(len(g), -1)
                for g, a in zip(grads, averages, strict=True)
            ]
        )
        rate = group["lr"] * _RMS * max(steps.shape[1:]) ** 0.5
        torch._foreach_mul_(list[Tensor](params), 1 - group["lr"] * group["weight_decay"])
        for p, step in zip(params, orthogonal(steps), strict=True):
            p.sub_(step.reshape(p.shape), alpha=rate)


def orthogonal(x: Tensor) -> Tensor:
    """The nearest matrices [N, rows, columns] whose singular values are all about 1, by
    Newton-Schulz iteration."""
    a, b, c = _COEFFICIENTS
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x
