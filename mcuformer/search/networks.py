"""The layers and the shared weights of every family of `families.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch

from mcuformer.search.arch import VIT
from mcuformer.search.architecture import Architecture
from mcuformer.search.net import Network
from mcuformer.search.pyramid_net import PyramidNetwork
from mcuformer.search.pyramid_space import HIERARCHIES
from mcuformer.search.pyramid_supernet import PyramidSupernet
from mcuformer.search.shared import SharedWeights
from mcuformer.search.space import Space
from mcuformer.search.supernet import Supernet

AnyNetwork = Network | PyramidNetwork


@dataclass(frozen=True, slots=True)
class Trainable:
    """The plain network of an architecture, and the supernet of a space."""

    plain: Callable[[Any], AnyNetwork]
    shared: Callable[[Space, torch.Generator], SharedWeights[Any, Any]]


NETWORKS: Mapping[str, Trainable] = MappingProxyType(
    {
        VIT: Trainable(Network, Supernet),
        **{name: Trainable(PyramidNetwork, PyramidSupernet) for name in HIERARCHIES},
    }
)


def network_of(arch: Architecture) -> AnyNetwork:
    return NETWORKS[arch.family].plain(arch)


def supernet_of(space: Space, generator: torch.Generator) -> SharedWeights[Any, Any]:
    return NETWORKS[space.family].shared(space, generator)
