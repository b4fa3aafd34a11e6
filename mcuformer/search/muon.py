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
        self, params: Iterable[nn.Parameter], lr: float, weight_decay: float,
        momentum: float = 0.95,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum}
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._update(p, p.grad, group)

    def _update(self, p: nn.Parameter, grad: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        if not state:
            state["momentum"] = torch.zeros_like(p)
        average: Tensor = state["momentum"].lerp_(grad, 1 - group["momentum"])
        step = orthogonal(grad.lerp(average, group["momentum"]).reshape(len(p), -1))
        size = _RMS * max(step.shape) ** 0.5
        p.mul_(1 - group["lr"] * group["weight_decay"])
        p.sub_(step.reshape(p.shape), alpha=group["lr"] * size)


def orthogonal(x: Tensor) -> Tensor:
    """The nearest matrix whose singular values are all about 1, by Newton-Schulz iteration."""
    a, b, c = _COEFFICIENTS
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x
