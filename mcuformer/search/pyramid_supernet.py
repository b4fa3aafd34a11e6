"""One set of weights for every hierarchical network of a space: entangled slices, as of ViTs.

A weight of a subnet is the first channels of the same layer in the largest networks, the middle of a larger
depthwise kernel, or the nearest distances of a larger window's table. What a choice changes beside sizes
(a stem, the patch, the convolution that reduces keys, the last stage) has weights of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from math import prod

import torch
from torch import Tensor

from mcuformer.search.net import initialise
from mcuformer.search.pyramid import Pyramid
from mcuformer.search.pyramid_net import PyramidNetwork
from mcuformer.search.pyramid_space import HIERARCHIES
from mcuformer.search.shared import SharedWeights
from mcuformer.search.space import Space

_CENTRED = ("contexts", "relative")  # the middle of their last two axes
_JOINED: Mapping[str, int] = {"qkv": 3, "kv": 2}  # layers of several parts, each of which is sliced


class PyramidSupernet(SharedWeights[Pyramid, PyramidNetwork]):
    """Weights of a space of hierarchical networks."""

    def __init__(self, space: Space, generator: torch.Generator) -> None:
        super().__init__(space, PyramidNetwork)
        shapes: dict[str, tuple[int, ...]] = {}
        statistics: dict[str, Tensor] = {}
        for arch in _spread(space):
            with torch.device("meta"):
                network = PyramidNetwork(arch)
            for name, p in network.named_parameters():
                at = _shared_name(arch, name)
                before = shapes.get(at, p.shape)
                shapes[at] = tuple(max(a, b) for a, b in zip(before, p.shape, strict=True))
            kept = set(network.state_dict())
            for name, b in network.named_buffers():
                if name in kept:
                    at = _shared_name(arch, name)
                    if at not in statistics or b.numel() > statistics[at].numel():
                        statistics[at] = b
        for name, shape in sorted(shapes.items()):
            self._add(name, *shape)
        for name, b in sorted(statistics.items()):
            ones = name.endswith("running_var")
            self.register_buffer(
                name, (torch.ones if ones else torch.zeros)(b.shape, dtype=b.dtype)
            )
        self._width = max(space.choices["dim0"])
        initialise(self, generator)

    def widest(self, arch: Pyramid) -> Pyramid:
        first, *rest = arch.stages
        return replace(arch, stages=(replace(first, dim=self._width), *rest))

    def slices(self, arch: Pyramid) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        skeleton = self._skeleton(arch)
        for name, p in skeleton.named_parameters():
            found[name] = _part(self.weights[_shared_name(arch, name)], name, p.shape)
        kept = set(skeleton.state_dict())
        for name, b in skeleton.named_buffers():
            if name in kept:  # views: training updates them in place
                shared = self.get_buffer(_shared_name(arch, name))
                found[name] = shared[: b.shape[0]] if b.ndim else shared
        return found


def _spread(space: Space) -> Iterator[Pyramid]:
    """Networks that have every weight of the space among them, each as large as it gets: the largest for
    every stem, patch and number of stages, with every kind of block in every stage."""
    row, kinds = space.row, HIERARCHIES[space.family].kinds
    for values in product(*(space.choices[g] for g in row.free)):
        for i in range(max(space.choices["stages"])):
            own = [f"{kind}{i}" for kind in kinds]
            for chosen in product(*(space.choices[g] for g in own)):
                fixed = dict(zip([*row.free, *own], [*values, *chosen], strict=True))
                arch = space.largest(**fixed)
                assert isinstance(arch, Pyramid)
                yield arch
            if not kinds:
                break


def _shared_name(arch: Pyramid, name: str) -> str:
    part, _, rest = name.partition(".")
    rest = rest.replace(".", "/")
    if part == "stem":
        return f"stem/{arch.stem}/{arch.patch}/{rest}"
    if part in ("norm", "head"):
        return f"{part}/{len(arch.stages)}/{rest}"
    return f"{part}/{rest}"


def _part(shared: Tensor, name: str, shape: torch.Size) -> Tensor:
    """What a subnet's weight of `shape` is of the shared one."""
    layers = name.split(".")
    parts = prod(_JOINED.get(layer, 1) for layer in layers)
    if parts > 1:
        each = shape[0] // parts
        rows = shared.unflatten(0, (parts, -1))[:, :each].flatten(0, 1)
        return rows[:, : shape[1]] if len(shape) > 1 else rows
    middle = any(layer in _CENTRED for layer in layers)
    cut = []
    for axis, (whole, n) in enumerate(zip(shared.shape, shape, strict=True)):
        start = (whole - n) // 2 if middle and axis >= len(shape) - 2 else 0
        cut.append(slice(start, start + n))
    return shared[tuple(cut)]
