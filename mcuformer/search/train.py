"""The training loop: checkpoints every epoch, exact resume on a CPU, data parallel under torchrun.

Schedules count steps. Every draw of a step comes from (seed, epoch, step), so a run that was killed
and resumed from its last epoch ends with the same weights as an unbroken one.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from mcuformer.errors import UsageError
from mcuformer.files.kept import making_sense_of
from mcuformer.search.augment import Augment
from mcuformer.search.checkpoint import AGAIN, begun, finite, followed, save_atomically
from mcuformer.search.data import Data, Images
from mcuformer.search.memory_pool import keep_freed_memory
from mcuformer.search.optimizers import optimizers_of
from mcuformer.search.replicas import (
    InParts,
    Loss,
    Replicas,
    operator_threads,
    splits_behind_stem,
    splits_whole,
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """`ema` 0: no moving average; `optimizer`: adamw (the papers') or muon (short schedules)."""

    epochs: int
    batch: int = 128
    lr: float = 1e-3
    weight_decay: float = 0.05
    warmup_epochs: float = 2.0
    clip: float = 1.0
    smoothing: float = 0.1
    ema: float = 0.99
    protocol: str = "baseline"
    optimizer: str = "adamw"
    amp: bool = False
    seed: int = 0


TOLD = 8  # steps between two reports: each waits for the device
Reporter = Callable[[int, int, float, Mapping[str, float]], None]


def plain_loss(model: nn.Module, x: Tensor, y: Tensor, random: Random) -> Tensor:
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    return loss.detach()


def distilled_loss(teacher: nn.Module, share: float = 0.5) -> Loss:
    """Cross entropy beside the teacher's soft answers."""
    teacher.eval()

    def loss_of(model: nn.Module, x: Tensor, y: Tensor, random: Random) -> Tensor:
        with torch.no_grad():
            answers = teacher(x).softmax(dim=1)
        logits = model(x)
        loss = (1 - share) * F.cross_entropy(logits, y) + share * F.cross_entropy(logits, answers)
        loss.backward()
        return loss.detach()

    return loss_of


def device_of(name: str | None = None) -> torch.device:
    if name:
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def normalised(data: Data, x: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """uint8 [N,C,H,W] as the network's input."""
    t = torch.as_tensor(x, device=device).float() / 255
    mean, std = (torch.tensor(v, device=device)[:, None, None] for v in (data.mean, data.std))
    return (t - mean) / std


@torch.no_grad()
def accuracy(
    forward: Callable[[Tensor], Tensor],
    data: Data,
    images: Images,
    device: torch.device,
    batch: int = 500,
) -> float:
    """Percent of images whose largest logit is the label."""
    hits = 0
    for i in range(0, len(images), batch):
        logits = forward(normalised(data, images.x[i : i + batch], device))
        hits += int((logits.argmax(1).cpu() == torch.from_numpy(images.y[i : i + batch])).sum())
    return 100 * hits / len(images)


class Trainer:
    """Trains `model` under `recipe`; `directory` keeps last.pt. `finished` counts whole epochs.

    `fused`: on a GPU the loss gets the model compiled by torch.compile; for models of one shape.
    `threads`: on a CPU, each takes a part of every batch, where the model lets a batch be parted.
    `about`: what else a training that goes on has to have been begun with.
    """

    def __init__(
        self,
        model: nn.Module,
        data: Data,
        recipe: Recipe,
        directory: Path,
        loss: Loss = plain_loss,
        after_epoch: Callable[[nn.Module, int], None] | None = None,
        device: torch.device | None = None,
        fused: bool = False,
        threads: int = 1,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.about = about or {}
        self.device = device or device_of()
        keep_freed_memory()
        self.model, self.data, self.recipe, self.loss = model.to(self.device), data, recipe, loss
        self.called: nn.Module = self.model
        if self.device.type == "cuda":
            torch.set_float32_matmul_precision("high")
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.called = compiled(self.model, self.device) if fused else self.model
        self.called_loss: Loss = loss
        splits = splits_whole(self.model) or splits_behind_stem(self.model)
        if threads > 1 and self.device.type == "cpu" and splits:
            self.called_loss = InParts(loss, Replicas(self.model, threads))
        self.after_epoch = after_epoch
        self.images = torch.as_tensor(data.train.x, device=self.device)  # all of them stay there
        self.labels = torch.as_tensor(data.train.y, device=self.device)
        self.path = directory / "last.pt"
        self.world = dist.get_world_size() if dist.is_initialized() else 1
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.optimizers = optimizers_of(
            model, recipe.lr, recipe.weight_decay, recipe.optimizer == "muon"
        )
        self.average = {n: t.detach().clone() for n, t in followed(model)}
        self.finished = 0
        self.losses: list[float] = []
        self._load()

    @property
    def steps_per_epoch(self) -> int:
        return max(1, len(self.data.train) // self.recipe.batch)

    def run(self, report: Reporter | None = None, until: int | None = None) -> nn.Module:
        """Train the epochs that are missing; the model holds the averaged weights at the end."""
        parted = isinstance(self.called_loss, InParts) or getattr(self.loss, "threads", 1) > 1
        with operator_threads(1 if parted else torch.get_num_threads()):
            for epoch in range(self.finished, min(until or self.recipe.epochs, self.recipe.epochs)):
                self._epoch(epoch, report)
        return self.model

    @torch.no_grad()
    def use_average(self) -> None:
        for name, t in followed(self.model):
            t.copy_(self.average[name])
            self.average[name] = t.detach()  # one copy in the last file

    def _epoch(self, epoch: int, report: Reporter | None) -> None:
        begin = getattr(self.loss, "begin_epoch", None)  # of a loss that has a schedule
        if begin is not None:
            begin(epoch)
        recipe, steps = self.recipe, self.steps_per_epoch
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        order = np.random.Generator(np.random.PCG64([recipe.seed, epoch])).permutation(
            len(self.data.train)
        )
        self.model.train()
        for step in range(steps):
            chosen = order[step * recipe.batch : (step + 1) * recipe.batch]
            total += self._step(epoch, step, chosen[self.rank :: self.world])
            told = (step + 1) % TOLD == 0 or step + 1 == steps
            if report and self.rank == 0 and told:
                done, mean = epoch * steps + step + 1, float(total) / (step + 1)
                report(done, recipe.epochs * steps, mean, {"epoch": epoch + 1})
        if self.after_epoch:
            self.after_epoch(self.model, epoch)
        self.losses.append(float(total) / steps)
        if not (math.isfinite(self.losses[-1]) and finite(self.model)):
            why = f"loss or weights of epoch {epoch + 1} are no numbers: the training diverged"
            raise UsageError(why, f"take a smaller --lr than {recipe.lr:g}")
        self.finished = epoch + 1
        if self.recipe.ema and self.finished == recipe.epochs:
            self.use_average()
        if self.rank == 0:
            self._save()

    def _step(self, epoch: int, step: int, chosen: np.ndarray) -> Tensor:
        recipe = self.recipe
        name = f"{recipe.seed}/{epoch}/{step}"
        torch.manual_seed(_number(f"{name}/{self.rank}"))
        classes = len(self.data.classes)
        augment = Augment(recipe.protocol, self.data.mirror, classes, recipe.smoothing)
        index = torch.as_tensor(chosen, device=self.device)
        x = augment.images(self.images[index].float() / 255)
        x, y = augment.mix(normalised(self.data, x * 255, self.device), self.labels[index])
        x = x.contiguous(memory_format=torch.channels_last)  # convolutions are faster so
        rate = self._rate(epoch * self.steps_per_epoch + step)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * group["factor"]
            optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.amp):
            loss = self.called_loss(self.called, x, y, Random(name))
        self._reduce()
        if recipe.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip)
        for optimizer in self.optimizers:
            optimizer.step()
        self._follow(epoch * self.steps_per_epoch + step)
        return loss

    def _rate(self, step: int) -> float:
        """Linear warm-up, then a cosine to a hundredth."""
        warm = self.recipe.warmup_epochs * self.steps_per_epoch
        total = self.recipe.epochs * self.steps_per_epoch
        if step < warm:
            return self.recipe.lr * (step + 1) / warm
        done = (step - warm) / max(1, total - warm)
        return self.recipe.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))

    def _reduce(self) -> None:
        """The mean of all processes' gradients: sandwich steps touch other weights in each step, so
        gradients are joined once after the last backward instead of by hooks."""
        if self.world == 1:
            return
        for p in self.model.parameters():
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        grads = [p.grad for p in self.model.parameters() if p.grad is not None]
        flat = torch.cat([g.reshape(-1) for g in grads])
        dist.all_reduce(flat)
        at = 0
        for p in self.model.parameters():
            assert p.grad is not None
            p.grad.copy_(flat[at : at + p.numel()].reshape(p.shape) / self.world)
            at += p.numel()

    @torch.no_grad()
    def _follow(self, step: int) -> None:
        decay = min(self.recipe.ema, (1 + step) / (10 + step))
        now = dict(followed(self.model))
        torch._foreach_lerp_([self.average[n] for n in now], list(now.values()), 1 - decay)

    def _save(self) -> None:
        """The state of the optimizers goes with the last epoch: nothing goes on from there."""
        ended = self.finished == self.recipe.epochs
        state = {
            "recipe": asdict(self.recipe),
            "training": self.about,
            "finished": self.finished,
            "losses": self.losses,
            "model": self.model.state_dict(),
            "average": self.average,
            "optimizers": [] if ended else [o.state_dict() for o in self.optimizers],
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        save_atomically(state, self.path)

    def _load(self) -> None:
        if not self.path.exists():
            return
        state = begun(self.model, self.path, self.device, asdict(self.recipe), self.about)
        with making_sense_of(self.path, AGAIN):
            if state["finished"] < self.recipe.epochs:
                for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                    optimizer.load_state_dict(saved)
            self.average = {n: t.to(self.device) for n, t in state["average"].items()}
            self.finished, self.losses = state["finished"], state["losses"]


def compiled(model: nn.Module, device: torch.device) -> nn.Module:
    """The same model (and weights) with its kernels joined, on a GPU, which waits for launches."""
    return torch.compile(model) if device.type == "cuda" else model  # type: ignore[return-value]


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
