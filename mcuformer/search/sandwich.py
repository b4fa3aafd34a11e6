"""One step of supernet training: the largest, some random and the smallest network (sandwich).

The largest learns from the labels (and a teacher, where one is given); the others learn from the
largest one's answers to the same batch (in-place distillation). The stem runs once for all four.
"""

from __future__ import annotations

from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcuformer.search.architecture import Architecture
from mcuformer.search.replicas import Replicas
from mcuformer.search.shared import SharedWeights
from mcuformer.search.space import Space

RANDOM_NETWORKS = 2
LABEL_SHARE = 0.3  # share of the labels in the loss of a distilled network


class Sandwich:
    """A loss for Trainer; `teacher` answers for the largest network beside the labels. `threads` take
    each a part of the batch behind the stem, whose BatchNorms see the whole."""

    def __init__(self, teacher: nn.Module | None = None, threads: int = 1) -> None:
        self.teacher = teacher.eval() if teacher else None
        self.threads = threads
        self._replicas: Replicas | None = None

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, random: Random) -> Tensor:
        assert isinstance(model, SharedWeights)
        networks = sample(model.space, random)
        whole = model.embed(x, networks[0])
        if self.threads == 1 or x.device.type != "cpu":
            tokens = whole.detach().requires_grad_()
            loss = self._backward(model, networks, x, tokens, y)
            whole.backward(tokens.grad)
            return loss
        if self._replicas is None or self._replicas.models[0] is not model:
            self._replicas = Replicas(model, self.threads)

        def part(own: nn.Module, tokens: Tensor, x: Tensor, y: Tensor) -> Tensor:
            return self._backward(own, networks, x, tokens, y)

        return self._replicas.behind_stem(whole, part, x, y)

    def _backward(
        self, model: nn.Module, networks: list[Architecture], x: Tensor, tokens: Tensor, y: Tensor
    ) -> Tensor:
        """Of all networks into the weights and the tokens; the largest one's loss."""
        assert isinstance(model, SharedWeights)
        largest, *others = networks
        logits = model.encode(tokens, largest)
        loss = F.cross_entropy(logits, y)
        if self.teacher is not None:
            with torch.no_grad():
                answers = self.teacher(x).softmax(dim=1)
            loss = 0.5 * loss + 0.5 * F.cross_entropy(logits, answers)
        loss.backward()
        answers = logits.detach().softmax(dim=1)
        for arch in others:
            own = model.encode(tokens, arch)
            taught, told = F.cross_entropy(own, answers), F.cross_entropy(own, y)
            ((1 - LABEL_SHARE) * taught + LABEL_SHARE * told).backward()
        return loss.detach()


def sample(space: Space, random: Random) -> list[Architecture]:
    """The largest first. All four make the same tokens, by genes that are drawn (stem, patch ...)."""
    tokens = {n: random.choice(space.choices[n]) for n in space.row.tokens}
    networks = [space.largest(**tokens)]
    networks += [
        space.decode(space.fixed(space.draw(random), tokens)) for _ in range(RANDOM_NETWORKS)
    ]
    return [*networks, space.smallest(**tokens)]
