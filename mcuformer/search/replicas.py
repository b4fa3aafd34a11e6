"""A batch in parts, each through a copy of the model in a thread of its own.

Torch's threads share one operator, and the matrices of networks that fit a microcontroller are too
small to share: two of them are no faster than one. Here each thread takes a part of the batch
forward and backward by itself. Copies share the model's weights and buffers and have gradients of
their own, which are added in the order of the parts, so that the same number of parts gives the same
bits. What looks at a whole batch (BatchNorm in training, a generator of random numbers) cannot be
in a part.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from random import Random
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import Tensor, nn

_T = TypeVar("_T")


class Loss(Protocol):
    """Runs forward and backward on one batch of normalised images and soft labels; the loss,
    detached and still on its device: reading it would wait for the device."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, random: Random) -> Tensor: ...


class Replicas:
    """`model` and `count` - 1 copies of it, for as many threads; a CPU's."""

    def __init__(self, model: nn.Module, count: int) -> None:
        self.models = [model, *(replica(model) for _ in range(count - 1))]
        self._pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))

    def run(self, work: Callable[[nn.Module, int], _T], parts: int) -> list[_T]:
        """`work` of a copy and the number of its part, for each part, under the caller's autocast."""
        lowered, training = torch.is_autocast_enabled("cpu"), self.models[0].training
        for model in self.models:
            if model.training != training:
                model.train(training)

        def one(part: int) -> _T:
            with torch.autocast("cpu", torch.bfloat16, enabled=lowered):
                return work(self.models[part], part)

        return list(self._pool.map(one, range(parts)))

    def behind_stem(self, whole: Tensor, work: Callable[..., Tensor], *batches: Tensor) -> Tensor:
        """The loss of a batch whose `whole` tokens [n, ...] one stem has made: `work` of a copy, its
        tokens and its rows of `batches` goes backward into both; then the stem does."""
        tokens, *rest = zip(*self.parts(whole.detach(), *batches)[0], strict=True)
        shares = [len(t) / len(whole) for t in tokens]
        leaves = [t.requires_grad_() for t in tokens]
        losses = self.run(
            lambda own, part: work(own, leaves[part], *(r[part] for r in rest)), len(leaves)
        )
        self.gather(shares)
        grads = [t.grad * s for t, s in zip(leaves, shares, strict=True) if t.grad is not None]
        whole.backward(torch.cat(grads))
        return total(losses, shares)

    @torch.no_grad()
    def gather(self, shares: Sequence[float]) -> None:
        """The model's gradients: those of the parts, each times its share of the batch."""
        whole = list(self.models[0].parameters())
        for part, share in enumerate(shares):
            own = [p.grad for p in self.models[part].parameters()]
            torch._foreach_mul_([g for g in own if g is not None], share)
            if part == 0:
                continue
            both = [(p.grad, g) for p, g in zip(whole, own, strict=True)
                    if p.grad is not None and g is not None]  # fmt: skip
            if both:
                torch._foreach_add_([a for a, _ in both], [b for _, b in both])
            for p, g in zip(whole, own, strict=True):
                p.grad = g if p.grad is None else p.grad
            for p in self.models[part].parameters():
                p.grad = None

    def parts(self, *batches: Tensor) -> tuple[list[tuple[Tensor, ...]], list[float]]:
        """Of tensors [n, ...] their rows for each copy, and the share of the rows that these are."""
        rows = len(batches[0])
        chunks = list(zip(*(b.chunk(len(self.models)) for b in batches), strict=True))
        return chunks, [len(c[0]) / rows for c in chunks]


@contextmanager
def operator_threads(count: int) -> Iterator[None]:
    """So many threads for one operator of torch meanwhile: those that wait spin, on cores that parts need."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def replica(model: nn.Module) -> nn.Module:
    """The same model with the same weights and buffers in memory, and gradients of its own."""
    memo: dict[int, object] = {id(b): b for b in model.buffers()}
    for p in model.parameters():
        memo[id(p)] = nn.Parameter(p.detach(), requires_grad=p.requires_grad)
    return copy.deepcopy(model, memo)


class InParts:
    """A loss that is a mean over the images of a batch, part by part; a stem that looks at the whole
    batch sees it."""

    def __init__(self, loss: Loss, replicas: Replicas) -> None:
        self.loss, self.replicas = loss, replicas
        self.behind_stem = not splits_whole(replicas.models[0])

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, random: Random) -> Tensor:
        state = random.getstate()

        def one(own: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
            drawn = Random()
            drawn.setstate(state)
            return self.loss(own, images, labels, drawn)

        if self.behind_stem:
            return self.replicas.behind_stem(
                cast(Any, model).embed(x),
                lambda own, tokens, *part: one(_Behind(own, tokens), *part),
                x,
                y,
            )
        chunks, shares = self.replicas.parts(x, y)
        losses = self.replicas.run(lambda own, part: one(own, *chunks[part]), len(chunks))
        self.replicas.gather(shares)
        return total(losses, shares)


class _Behind(nn.Module):
    """A network whose stem has seen its images: the logits of their tokens."""

    def __init__(self, network: nn.Module, tokens: Tensor) -> None:
        super().__init__()
        self.network, self.tokens = network, tokens

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = cast(Any, self.network).encode(self.tokens)
        return logits


def total(losses: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    return torch.stack([v * s for v, s in zip(losses, shares, strict=True)]).sum()


def splits_whole(model: nn.Module, but: str = "") -> bool:
    """Whether a batch's parts give what the batch gives: nothing kept of a batch, nothing drawn, but in
    the submodule `but`."""
    kept = set(model.state_dict()) - {n for n, _ in model.named_parameters()}
    kept |= {n for n, m in model.named_modules() if isinstance(m, nn.Dropout)}
    return not {n for n in kept if not but or not n.startswith(f"{but}.")}


def splits_behind_stem(model: nn.Module) -> bool:
    """Of a network that makes tokens (`embed`) and logits of them (`encode`)."""
    return hasattr(model, "embed") and hasattr(model, "encode") and splits_whole(model, "stem")
