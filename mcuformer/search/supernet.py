"""One set of weights for every network of a space: entangled slices (AutoFormer, arXiv 2107.00651).

A network's weights are the first channels of the largest network's. `slices` names them as
`Network` does, so a subnet runs by the very code of the plain network, and `materialise` copies
the same slices into one. All patch sizes share one kernel and one grid of positions, resized: with
kernels of their own the patches speak different languages and the shared blocks hardly learn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from mcuformer.search.arch import Arch, relative_entries
from mcuformer.search.architecture import PATCH
from mcuformer.search.net import Network, initialise
from mcuformer.search.shared import SharedWeights
from mcuformer.search.space import Space


class Supernet(SharedWeights[Arch, Network]):
    """Weights of a space. Dense layers and their two factors are weights of their own."""

    def __init__(self, space: Space, generator: torch.Generator) -> None:
        super().__init__(space, Network)
        self._largest = (
            max(space.choices["dim"]),
            max(space.choices["heads"]) * max(space.choices["head_dim"]),
            round(max(space.ratio) * max(space.choices["dim"]) / 4) * 4,
        )
        for arch in self._grids():
            self._add_convolutions(arch)
        if "cls" in space.choices["pool"]:
            self._add("cls", 1, 1, self._largest[0])
        if PATCH in space.choices["stem"]:
            size = max(space.choices["patch"])
            self._add("stem/weight", self._largest[0], space.image[2], size, size)
            self._add("stem/bias", self._largest[0])
        self._add("position/cls", 1, 1, self._largest[0])
        down, across = max(a.grid for a in self._grids())
        self._add("position/grid", 1, self._largest[0], down, across)
        for i in range(max(space.choices["depth"])):
            self._add_block(i)
        dim = self._largest[0]
        for name, shape in (
            ("norm/weight", (dim,)),
            ("norm/bias", (dim,)),
            ("head/weight", (space.classes, dim)),
            ("head/bias", (space.classes,)),
        ):
            self._add(name, *shape)
        initialise(self, generator)
        self.factorise()

    def _grids(self) -> Iterator[Arch]:
        """One network per way to make tokens."""
        for arch in self.space.grids():
            assert isinstance(arch, Arch)
            yield arch

    def _add_convolutions(self, arch: Arch) -> None:
        """A stem's body serves every network with that stem whole; its last layer is sliced."""
        before = arch.image[2]
        for i, (width, _) in enumerate(arch.convolutions):
            at = _convolution(arch, i)
            if f"{at}/conv/weight" not in self.weights:
                self._add(f"{at}/conv/weight", width, before, 3, 3)
                self._add(f"{at}/norm/weight", width)
                self._add(f"{at}/norm/bias", width)
                self.register_buffer(f"{at}/norm/running_mean", torch.zeros(width))
                self.register_buffer(f"{at}/norm/running_var", torch.ones(width))
                self.register_buffer(f"{at}/norm/num_batches_tracked", torch.tensor(0))
            before = width

    def _add_block(self, i: int) -> None:
        dim, inner, hidden = self._largest
        at = f"blocks/{i}"
        for norm in ("norm1", "norm2"):
            self._add(f"{at}/{norm}/weight", dim)
            self._add(f"{at}/{norm}/bias", dim)
        self._add(f"{at}/attn/qkv/weight", 3 * inner, dim)
        self._add(f"{at}/attn/qkv/bias", 3 * inner)
        for name, n, k in (("attn/proj", dim, inner), ("fc1", hidden, dim), ("fc2", dim, hidden)):
            self._add(f"{at}/{name}/weight", n, k)
            self._add(f"{at}/{name}/bias", n)
        for name, n, k in self._factored():
            rank = self._most_rank(name.split("/")[-1], n, k)
            if rank:
                self._add(f"{at}/{name}/down", rank, k)
                self._add(f"{at}/{name}/up", n, rank)
        if True in self.space.choices["relative"]:
            heads = max(self.space.choices["heads"])
            for arch in self._grids():
                self._add(f"{at}/relative/{_grid(arch)}", heads, relative_entries(arch))

    def _factored(self) -> tuple[tuple[str, int, int], ...]:
        dim, inner, hidden = self._largest
        return (
            ("attn/qkv", 3 * inner, dim),
            ("attn/proj", dim, inner),
            ("fc1", hidden, dim),
            ("fc2", dim, hidden),
        )

    def _most_rank(self, layer: str, n: int, k: int) -> int:
        ratios = [r for r in self.space.choices[f"rank_{layer}"] if r < 1]
        return max((max(4, round(r * min(n, k) / 4) * 4) for r in ratios), default=0)

    @torch.no_grad()
    def factorise(self) -> None:
        """Both factors of every layer from the singular values of its dense matrix."""
        for i in range(max(self.space.choices["depth"])):
            for name, _, _ in self._factored():
                at = f"blocks/{i}/{name}"
                if f"{at}/down" not in self.weights:
                    continue
                u, s, vh = torch.linalg.svd(self.weights[f"{at}/weight"], full_matrices=False)
                rank = self.weights[f"{at}/down"].shape[0]
                root = s[:rank].sqrt()
                self.weights[f"{at}/up"].copy_(u[:, :rank] * root)
                self.weights[f"{at}/down"].copy_(root[:, None] * vh[:rank])

    def widest(self, arch: Arch) -> Arch:
        return replace(arch, dim=self._largest[0])

    def slices(self, arch: Arch) -> dict[str, Tensor]:
        """The weights of `arch`, named as in its Network; views wherever slicing gives them."""
        w, e, q = self.weights, arch.dim, arch.inner
        found: dict[str, Tensor] = {}
        if arch.stem == PATCH:
            found["stem.weight"] = resized_patch(w["stem/weight"][:e], arch.patch)
            found["stem.bias"] = w["stem/bias"][:e]
        for i, (width, _) in enumerate(arch.convolutions):
            at = _convolution(arch, i)
            found[f"stem.conv{i}.weight"] = w[f"{at}/conv/weight"][:width]
            for part in ("weight", "bias"):
                found[f"stem.norm{i}.{part}"] = w[f"{at}/norm/{part}"][:width]
            for part in ("running_mean", "running_var"):  # views: training updates them in place
                found[f"stem.norm{i}.{part}"] = self.get_buffer(f"{at}/norm/{part}")[:width]
            found[f"stem.norm{i}.num_batches_tracked"] = self.get_buffer(
                f"{at}/norm/num_batches_tracked"
            )
        if arch.pool == "cls":
            found["cls"] = w["cls"][:, :, :e]
        found["position"] = self._positions(arch)
        for i, hidden in enumerate(arch.hidden):
            self._block_slices(arch, i, hidden, found)
        for name in ("norm.weight", "norm.bias"):
            found[name] = w[name.replace(".", "/")][:e]
        found["head.weight"], found["head.bias"] = w["head/weight"][:, :e], w["head/bias"]
        assert q <= self._largest[1]
        return found

    def _positions(self, arch: Arch) -> Tensor:
        """[1, T, dim] from the finest grid; the class token has its own."""
        w, e = self.weights, arch.dim
        grid = F.interpolate(
            w["position/grid"][:, :e],
            arch.grid,
            mode="bilinear",
            align_corners=False,
            antialias=True,
        )
        rows = grid.flatten(2).transpose(1, 2)
        return rows if arch.pool == "mean" else torch.cat([w["position/cls"][:, :, :e], rows], 1)

    def _block_slices(self, arch: Arch, i: int, hidden: int, found: dict[str, Tensor]) -> None:
        w, e, q, rank = self.weights, arch.dim, arch.inner, arch.ranks(i)
        at, to = f"blocks/{i}", f"blocks.{i}"
        for norm in ("norm1", "norm2"):
            found[f"{to}.{norm}.weight"] = w[f"{at}/{norm}/weight"][:e]
            found[f"{to}.{norm}.bias"] = w[f"{at}/{norm}/bias"][:e]
        layers = (
            ("attn/proj", e, q, rank.proj),
            ("fc1", hidden, e, rank.fc1),
            ("fc2", e, hidden, rank.fc2),
        )
        for name, n, k, r in layers:
            layer = f"{to}.{name.replace('/', '.')}"
            bias = w[f"{at}/{name}/bias"][:n]
            if r:
                found[f"{layer}.down.weight"] = w[f"{at}/{name}/down"][:r, :k]
                found[f"{layer}.up.weight"] = w[f"{at}/{name}/up"][:n, :r]
                found[f"{layer}.up.bias"] = bias
            else:
                found[f"{layer}.weight"] = w[f"{at}/{name}/weight"][:n, :k]
                found[f"{layer}.bias"] = bias
        layer, r = f"{to}.attn.qkv", rank.qkv
        bias = _thirds(w[f"{at}/attn/qkv/bias"], q)
        if r:
            found[f"{layer}.down.weight"] = w[f"{at}/attn/qkv/down"][:r, :e]
            found[f"{layer}.up.weight"] = _thirds(w[f"{at}/attn/qkv/up"], q)[:, :r]
            found[f"{layer}.up.bias"] = bias
        else:
            found[f"{layer}.weight"] = _thirds(w[f"{at}/attn/qkv/weight"], q)[:, :e]
            found[f"{layer}.bias"] = bias
        if arch.relative:
            found[f"{to}.attn.relative"] = w[f"{at}/relative/{_grid(arch)}"][: arch.heads]


def _convolution(arch: Arch, i: int) -> str:
    """Where layer i of a stem lies; the last one depends on the patch too."""
    last = i == len(arch.convolutions) - 1
    return f"stem/{arch.stem}/{arch.patch if last else 'body'}/{i}"


def resized_patch(weight: Tensor, patch: int) -> Tensor:
    """One kernel for all patch sizes (FlexiViT, arXiv 2212.08013): equal tokens of a flat image."""
    size = weight.shape[-1]
    if size == patch:
        return weight
    small = F.interpolate(
        weight, (patch, patch), mode="bilinear", align_corners=False, antialias=True
    )
    return small * (size / patch) ** 2


def _grid(arch: Arch) -> str:
    down, across = arch.grid
    return f"{down}x{across}{arch.pool}"


def _thirds(t: Tensor, inner: int) -> Tensor:
    """The first `inner` rows of each of q, k and v."""
    return t.reshape(3, -1, *t.shape[1:])[:, :inner].reshape(3 * inner, *t.shape[1:])
