"""What a search works with: settings, data, budget, space and planner, and its trained supernet.

`run.py` adds the stages of the search itself, `study.py` asks how far they can be trusted.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mcuformer.errors import UsageError
from mcuformer.search import data as sources
from mcuformer.search.borrow import borrow
from mcuformer.search.budget import Budget, budget_of, with_counts
from mcuformer.search.checkpoint import read_checkpoint
from mcuformer.search.data import Data
from mcuformer.search.evaluate import Evaluator
from mcuformer.search.explore import check_objectives
from mcuformer.search.families import check_rounded
from mcuformer.search.figures import Limits, Planner
from mcuformer.search.finish import Say
from mcuformer.search.networks import supernet_of
from mcuformer.search.sandwich import Sandwich
from mcuformer.search.settings import Settings
from mcuformer.search.shared import SharedWeights
from mcuformer.search.space import Space, load_space
from mcuformer.search.storage import check_local, check_storage
from mcuformer.search.teacher import load_teacher
from mcuformer.search.train import Trainer, accuracy, device_of
from mcuformer.targets.board_file import load_board


class SearchTask:
    """One question, asked in `directory`; `say` shows progress."""

    def __init__(self, settings: Settings, directory: Path, say: Say) -> None:
        self.settings, self.directory, self.say = settings, directory, say
        self._reached = ""
        check_objectives(settings.objectives)
        if settings.storage is not None:
            check_storage(settings.storage)
        check_local(self.storage)
        torch.set_num_threads(settings.threads)
        self.device = device_of()
        self.data: Data = sources.load(settings.data, settings.seed).validated()
        self.budget: Budget = with_counts(
            budget_of(
                settings.budget,
                settings.seed,
                settings.protocol,
                settings.amp,
                len(self.data.train),
            ),
            settings.supernet_epochs,
            settings.finetune_epochs,
            settings.candidates,
        )
        self.space: Space = load_space(settings.space).sized(
            self.data.image, len(self.data.classes)
        )
        if settings.qat:
            check_rounded(self.space.family)
        self.teacher = self._load_teacher()
        limits = Limits(settings.ram, settings.flash, settings.max_instructions)
        board = load_board(settings.board)
        if "unicorn" not in board.runners.emulators:
            raise UsageError(
                f"a search ends with a run in unicorn, which {board.name} does not offer",
                "search for a board with a firmware, then compile the model for this one",
            )
        self.planner = Planner(board, limits, settings.input_mode, settings.optimize)

    def _load_teacher(self) -> nn.Module | None:
        """None, too, where everything that it would teach is trained."""
        path = self.settings.teacher
        if not path or (not self.settings.qat and self.is_finetuned()):
            return None
        return load_teacher(Path(path), self.data, self.device)

    def is_finetuned(self) -> bool:
        """Whether some network was trained to its last epoch here."""
        states = [read_checkpoint(p) for p in self.directory.glob("finetune-*/last.pt")]
        return any(s["finished"] >= s["recipe"]["epochs"] for s in states)

    @property
    def storage(self) -> str:
        """The URL of the candidates' database."""
        return self.settings.storage or f"sqlite:///{(self.directory / 'search.db').absolute()}"

    def supernet(self) -> SharedWeights:
        """Trained, from the last finished epoch on, or that of another search."""
        generator = torch.Generator().manual_seed(self.settings.seed)
        model = supernet_of(self.space, generator)
        if self.settings.supernet:
            borrow(model, Path(self.settings.supernet), self.settings, self.data)
            return model.to(self.device).eval()
        epochs = self.budget.supernet.epochs
        trainer = Trainer(
            model,
            self.data,
            self.budget.supernet,
            self.directory / "supernet",
            Sandwich(self.teacher, self.settings.threads),
            after_epoch=lambda m, e: model.factorise() if e == epochs // 4 else None,
            device=self.device,
        )
        trainer.run(self.training("training the supernet"))
        return model.eval()

    def evaluator(self, supernet: SharedWeights, images: int | None = None) -> Evaluator:
        """Validation accuracy of subnets, in percent; on at most `images`, or the budget's for candidates."""
        whole = self.data.validation
        index = np.linspace(0, len(whole) - 1, min(images or self.budget.judged, len(whole)))
        chosen = whole.take(index.round().astype(np.int64))
        return Evaluator(supernet.eval(), self.data, chosen, self.device)

    def watched(self, network: nn.Module, epoch: int) -> None:
        """After an epoch: the accuracy that the progress line shows, where one is shown."""
        if getattr(self.say, "live", False):
            images = self.data.validation
            percent = accuracy(network.eval(), self.data, images, self.device)
            self._reached = f", validation {percent:.1f} %"

    def training(self, stage: str) -> Callable[..., None]:
        """What a Trainer reports its progress to."""
        self._reached = ""

        def report(done: int, total: int, loss: float, more: object) -> None:
            self.say(f"{stage} (loss {loss:.3f}{self._reached})", done, total)

        return report
