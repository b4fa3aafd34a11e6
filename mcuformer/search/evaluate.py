"""Validation accuracy of subnets: what a stem makes of the images is computed once for all of them."""

from __future__ import annotations

import torch
from torch import Tensor

from mcuformer.search.architecture import Architecture
from mcuformer.search.data import Data, Images
from mcuformer.search.replicas import operator_threads
from mcuformer.search.shared import SharedWeights
from mcuformer.search.train import normalised

_BATCH = 250


class Evaluator:
    """Percent of `images` that a subnet of `supernet` gets right, by shared weights."""

    def __init__(
        self, supernet: SharedWeights, data: Data, images: Images, device: torch.device
    ) -> None:
        self.supernet, self.data, self.images, self.device = supernet, data, images, device
        self.labels = torch.as_tensor(images.y, device=device)
        self._tokens: dict[tuple[str, int], list[Tensor]] = {}

    @torch.no_grad()
    def __call__(self, arch: Architecture) -> float:
        hits = 0
        with operator_threads(1):
            for i, tokens in enumerate(self._embedded(arch)):
                logits = self.supernet.encode(tokens, arch)
                hits += int((logits.argmax(1) == self.labels[i * _BATCH : (i + 1) * _BATCH]).sum())
        return 100 * hits / len(self.images)

    def _embedded(self, arch: Architecture) -> list[Tensor]:
        key = (arch.stem, arch.patch)
        if key not in self._tokens:
            self._tokens[key] = [
                self.supernet.embed(normalised(self.data, part, self.device), arch)
                for part in _parts(self.images)
            ]
        return self._tokens[key]


def _parts(images: Images) -> list:
    return [images.x[i : i + _BATCH] for i in range(0, len(images), _BATCH)]
