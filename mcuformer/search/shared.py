"""What the supernets of all families do: a subnet's weights by name, run by the code of its plain network."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mcuformer.search.architecture import Architecture
from mcuformer.search.space import Space

_SKELETONS = 256
_A = TypeVar("_A", bound=Any)  # an Architecture
_N = TypeVar("_N", bound=nn.Module)  # its plain network


class SharedWeights(nn.Module, Generic[_A, _N]):
    """One set of weights for every network of a space; `plain` makes one of a network by itself."""

    def __init__(self, space: Space, plain: Callable[[_A], _N]) -> None:
        super().__init__()
        self.space, self.plain = space, plain
        self.weights = nn.ParameterDict()
        self._skeletons: OrderedDict[tuple[Architecture, torch.device], _N] = OrderedDict()

    def _add(self, name: str, *shape: int) -> None:
        if name not in self.weights:
            self.weights[name] = nn.Parameter(torch.empty(shape))

    def slices(self, arch: _A) -> dict[str, Tensor]:
        """The weights of `arch`, named as in its plain network; views wherever slicing gives them."""
        raise NotImplementedError

    def widest(self, arch: _A) -> _A:
        """With as many channels behind the stem as any network has."""
        raise NotImplementedError

    def factorise(self) -> None:
        """Layers of low rank anew from the singular values of the dense ones, where a space has any."""

    def forward(self, x: Tensor, arch: _A) -> Tensor:
        """Logits of the subnet `arch`."""
        logits: Tensor = functional_call(self._skeleton(arch), self.slices(arch), (x,))
        return logits

    def embed(self, x: Tensor, arch: _A) -> Tensor:
        """Tokens [batch, largest width, rows, columns] for all networks with the stem of `arch`."""
        return self._run("embed", self.widest(arch), x)

    def encode(self, tokens: Tensor, arch: _A) -> Tensor:
        """Logits from what `embed` gave."""
        return self._run("encode", arch, tokens[:, : arch.width])

    def _run(self, part: str, arch: _A, x: Tensor) -> Tensor:
        weights = {f"network.{n}": t for n, t in self.slices(arch).items()}
        made: Tensor = functional_call(_Part(self._skeleton(arch), part), weights, (x,))
        return made

    def _skeleton(self, arch: _A) -> _N:
        """The code of a subnet; its own weights are never read."""
        key = arch, next(iter(self.weights.values())).device
        made = self._skeletons.pop(key, None)
        if made is None:
            made = self.plain(arch).requires_grad_(False).to(key[1])
        if made.training != self.training:
            made.train(self.training)
        self._skeletons[key] = made
        if len(self._skeletons) > _SKELETONS:
            self._skeletons.popitem(last=False)
        return made

    def materialise(self, arch: _A) -> _N:
        """_A plain network with a copy of the subnet's weights."""
        weights = {name: t.detach().clone() for name, t in self.slices(arch).items()}
        network = self.plain(arch).to(next(iter(weights.values())).dtype)
        network.load_state_dict(weights)
        return network


class _Part(nn.Module):
    """One method of a network, for functional_call."""

    def __init__(self, network: nn.Module, part: str) -> None:
        super().__init__()
        self.network, self.part = network, part

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = getattr(self.network, self.part)(x)
        return made
