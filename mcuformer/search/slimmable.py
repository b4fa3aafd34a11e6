"""One network whose slices are networks (Scala, NeurIPS 2024): which slices, and what they learn from.

Every axis as wide as the network is cut to a ratio. Isolated activation: the smallest and the full
width are the first channels, the others the last, so the smallest shares less with the middle ones;
`nested`: all the first. qkv is cut as one matrix of 3 D rows. Heads and the softmax's scale are the
full network's at every width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from mcuformer.errors import UsageError
from mcuformer.search.arch import Arch
from mcuformer.search.architecture import PATCH, Architecture
from mcuformer.search.net import Network

_MOST_WIDTHS = 64
_OFF = 0.01  # of a step: 0.3333 is a third
_WARMUP_SHARE = 10  # of all epochs one in so many at most trains the full width alone


def parse_ratios(text: str) -> tuple[float, ...]:
    """'0.25:1:0.25' or '0.25,0.5,1', ascending; UsageError for anything else."""
    try:
        if ":" in text:
            low, high, step = map(float, text.split(":"))
            steps = (high - low) / step
            count = min(round(steps), _MOST_WIDTHS)
            if step < 0 or abs(steps - count) > _OFF:
                raise ValueError(step)
            ratios = [low + i * (high - low) / max(count, 1) for i in range(count + 1)]
        else:
            ratios = list(map(float, text.split(",")))
        ratios = sorted({round(r, 6) for r in ratios})
    except (ValueError, ArithmeticError):
        ratios = []
    known = all(0 < r <= 1 for r in ratios)  # not of NaN
    if not known or not 2 <= len(ratios) <= _MOST_WIDTHS or ratios[-1] != 1:
        raise UsageError(
            f"'{text[:60]}' are no ratios of widths",
            "LEAST:1:STEP such as 0.25:1:0.25, or 0.25,0.5,1",
        )
    return tuple(ratios)


@dataclass(frozen=True, slots=True)
class Widths:
    """`ratios` ascending, the last 1."""

    ratios: tuple[float, ...]
    nested: bool = False

    def is_last(self, ratio: float) -> bool:
        """Whether a width is the last channels."""
        return not self.nested and ratio not in (self.ratios[0], self.ratios[-1])

    def drawn(self, random: Random) -> list[float]:
        """The full width, one of the upper half, one of the lower half, the smallest: stable sampling.

        The published code draws from an empty range where there are four widths; here a half that has
        none is left out.
        """
        middle = (self.ratios[0] + self.ratios[-1]) / 2
        inner = self.ratios[1:-1]
        halves = [r for r in inner if r >= middle], [r for r in inner if r < middle]
        return [self.ratios[-1], *(random.choice(h) for h in halves if h), self.ratios[0]]


def arch_at(full: Arch, ratio: float) -> Arch:
    """The network at a width; UsageError where its heads would not be whole."""
    dim = full.dim * ratio
    if (
        full.stem != PATCH
        or min(full.rank_qkv, full.rank_proj, full.rank_fc1, full.rank_fc2) < 1
        or full.inner != full.dim
    ):
        raise UsageError(
            "slimmable networks have a patch embedding, dense layers and heads as wide as the stream"
        )
    if ratio < 1 and (dim != int(dim) or int(dim) % math.lcm(4, full.heads)):
        raise UsageError(
            f"width {ratio:g} of {full.dim} channels gives no {full.heads} equal heads in fours",
            f"make dim a multiple of {math.lcm(4, full.heads)} / ratio",
        )
    hidden = tuple(round(h * ratio) for h in full.hidden)
    return replace(full, dim=int(dim), head_dim=int(dim) // full.heads, hidden=hidden)


def cut(
    weights: Mapping[str, Tensor], shapes: dict[str, torch.Size], last: bool
) -> dict[str, Tensor]:
    """Views of the full weights in the shapes of a narrower network."""
    found = {}
    for name, shape in shapes.items():
        w = weights[name]
        for axis, count in enumerate(shape):
            w = w.narrow(axis, w.shape[axis] - count if last else 0, count)
        found[name] = w
    return found


def skeleton(full: Arch, ratio: float) -> Network:
    """The code of a width, with the softmax's scale of the full one."""
    made = Network(arch_at(full, ratio))
    for block in made.blocks:
        block.attn.scale = full.head_dim**-0.5  # type: ignore[union-attr]
    return made


def check_slimmable(arch: Architecture, widths: Widths) -> None:
    """UsageError before hours of training where not every width of the network is one."""
    if not isinstance(arch, Arch):
        raise UsageError(
            f"slices of a network of the family {arch.family} are no networks",
            "--slimmable is for plain ViTs (family vit)",
        )
    for ratio in widths.ratios:
        arch_at(arch, ratio)


def at_width(network: nn.Module, widths: Widths, ratio: float) -> Network:
    """A plain network with a copy of the weights of a width; UsageError where it is none of them."""
    assert isinstance(network, Network)  # check_slimmable
    if ratio not in widths.ratios:
        known = ", ".join(f"{r:g}" for r in widths.ratios)
        raise UsageError(f"the network was not trained at width {ratio:g}", f"it has {known}")
    made, weights = skeleton(network.arch, ratio), dict(network.state_dict())
    shapes = {n: t.shape for n, t in made.state_dict().items()}
    parts = cut(weights, shapes, widths.is_last(ratio))
    made.load_state_dict({n: t.clone() for n, t in parts.items()})
    return made


@dataclass(slots=True)
class ScaleCoordination:
    """A loss for Trainer: every step trains four widths, and each learns from the next larger one.

    Progressive transfer: the teacher of a width is the next larger one that was drawn, its answers
    detached. Noise calibration: cross-entropy with the labels counts beside. The full width learns
    from the labels, alone for the first epochs (at most a tenth: the paper's 10 of 100).
    """

    widths: Widths
    epochs: int
    epoch: int = 0
    _skeletons: dict[tuple[nn.Module, float], Network] = field(default_factory=dict)

    def begin_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, random: Random) -> Tensor:
        logits = model(x)
        loss = F.cross_entropy(logits, y)
        loss.backward()
        if self.epoch < self.epochs // _WARMUP_SHARE:
            return loss.detach()
        weights = dict(model.named_parameters())
        teacher = logits.detach()
        for ratio in self.widths.drawn(random)[1:]:
            student = self._answers(model, weights, ratio, x)
            taught = F.kl_div(
                student.log_softmax(dim=1), teacher.softmax(dim=1), reduction="batchmean"
            )
            (taught + F.cross_entropy(student, y)).backward()
            teacher = student.detach()
        return loss.detach()

    def _answers(
        self, model: nn.Module, weights: Mapping[str, Tensor], ratio: float, x: Tensor
    ) -> Tensor:
        assert isinstance(model, Network)
        key = (
            model,
            ratio,
        )  # a replica's thread has skeletons of its own: a call changes their weights
        if key not in self._skeletons:
            made = skeleton(model.arch, ratio).requires_grad_(False)
            self._skeletons[key] = made.to(x.device)
        made = self._skeletons[key].train(model.training)
        shapes = {n: p.shape for n, p in made.named_parameters()}
        parts = cut(weights, shapes, self.widths.is_last(ratio))
        answers: Tensor = functional_call(made, parts, (x,))
        return answers
