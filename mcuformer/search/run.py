"""The whole search, stage by stage in one directory; what is finished there is not done again."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import torch

from mcuformer.errors import UsageError
from mcuformer.files.atomic import atomic_file
from mcuformer.files.kept import read_json
from mcuformer.search import data as sources
from mcuformer.search import products
from mcuformer.search.architecture import Architecture
from mcuformer.search.checkpoint import weights_sha256
from mcuformer.search.data import Images
from mcuformer.search.evaluate import Evaluator
from mcuformer.search.evolve import evolve, told
from mcuformer.search.explore import (
    Candidate,
    Judge,
    check_possible,
    explore,
    legal_share,
    winner,
)
from mcuformer.search.finish import Outcome, calibration, check, compile_found, export
from mcuformer.search.networks import AnyNetwork
from mcuformer.search.picture import draw, page
from mcuformer.search.settings import REMOVE
from mcuformer.search.shared import SharedWeights
from mcuformer.search.space import Space, parse_space
from mcuformer.search.summary import accuracies, found_figures, nearest_neighbour, pareto_rows, text
from mcuformer.search.task import SearchTask
from mcuformer.search.train import Trainer, accuracy, distilled_loss, plain_loss

RESULT = "search.json"


class Search(SearchTask):
    """One search in `directory`. Every stage leaves a file and starts from what it finds."""

    def run(self) -> dict[str, Any]:
        """All stages; the document of `search --json`."""
        before = self._kept()
        document = {**before, **products.places(self.directory)} if before else {}
        lost = self.damaged()
        if lost:
            supernet = self.settings.supernet or (self.directory / "supernet/last.pt").is_file()
            products.refuse_training(lost[0], bool(supernet) and self.is_finetuned())
        if lost or not before:  # none, or of an earlier version
            document = {**self._found(), "study": before.get("study")}
        if document != before or not products.has_page(document, self.directory):
            self._write(document)
        if self.settings.study and not document.get("study"):
            from mcuformer.search.study import study

            document["study"] = study(self)
            self._write(document)
        return document

    def _kept(self) -> dict[str, Any]:
        path = self.directory / RESULT
        return read_json(path, _finished, REMOVE) if path.exists() else {}

    def damaged(self) -> list[Path]:
        """Of a finished search, the products that `run` has to make anew."""
        document = self._kept()
        return products.damaged(self.directory, document) if document else []

    def _found(self) -> dict[str, Any]:
        """The search itself, up to the checked package."""
        judge = Judge(self.space, self.planner)
        check_possible(judge)
        share = self._legal_share(judge)
        supernet = self.supernet()
        evaluate = self.evaluator(supernet)
        space, history = self._space(judge, supernet)
        found = self.candidates(Judge(space, self.planner), evaluate)
        best = winner(found)
        network, validation = self.finetuned(supernet, best.arch)
        qat, kept = self._rounded(network) if self.settings.qat else (None, None)
        test = sources.load_test(self.settings.data)  # the only place that reads them
        outcome = self._finish(network, kept, test)
        neighbour = nearest_neighbour(self.data.joined().train, test)
        draw(found, best, history, self.space, self.planner.ram, self.directory)
        return {
            "schema_version": 1,
            **found_figures(best, outcome, self.planner.limits),
            "accuracy": accuracies(best, validation, outcome, neighbour),
            "legal_share": share,
            "candidates": len(found),
            "pareto": pareto_rows(found, best, self.settings),
            "evolution": told(history, self.space),
            "qat": qat,
            "study": None,
            "data": self.settings.data,
            "seed": self.settings.seed,
            "weights_sha256": weights_sha256(network),
            "files": products.digests(self.directory),
            **products.places(self.directory),
        }

    def _write(self, document: dict[str, Any]) -> None:
        with atomic_file(self.directory / RESULT) as part:
            part.write_text(json.dumps(document, indent=1))
        with atomic_file(self.directory / products.PAGE) as part:
            part.write_text(page(document, self.directory), encoding="utf-8")

    def _legal_share(self, judge: Judge) -> float:
        path = self.directory / "legal_share.json"
        if not path.exists():
            self.say("counting legal networks")
            share = legal_share(judge, self.budget.share_draws, self.settings.seed)
            with atomic_file(path) as part:
                part.write_text(json.dumps({"legal_share": share}))
        return read_json(path, lambda table: float(table["legal_share"]), REMOVE)

    def _space(self, judge: Judge, supernet: SharedWeights) -> tuple[Space, list[dict[str, Any]]]:
        path = self.directory / "space.json"
        space, history = evolve(
            judge,
            self.evaluator(supernet, self.budget.surveyed),
            self.budget.rounds,
            self.settings.seed,
            self.directory / "evolution.json",
            lambda done, total: self.say("evolving the space", done, total),
        )
        if not path.exists():
            with atomic_file(path) as part:
                part.write_text(json.dumps(space.as_dict(), indent=1))
        kept = read_json(path, _kept_space, REMOVE)
        return kept.sized(self.data.image, len(self.data.classes)), history

    def candidates(self, judge: Judge, evaluate: Evaluator) -> list[Candidate]:
        best = 0.0

        def report(done: int, percent: float) -> None:
            nonlocal best
            best = max(best, percent)
            self.say(f"searching (best {best:.1f} %)", done, self.budget.candidates)

        return explore(
            judge,
            evaluate,
            self.storage,
            self.budget.candidates,
            seed=self.settings.seed,
            population=self.budget.population,
            alone=self.settings.storage is None,
            objectives=self.settings.objectives,
            report=report,
        )

    def work(self) -> None:
        """Evaluate candidates of a search whose supernet is ready; another process finishes it."""
        if not (self.directory / "space.json").exists():
            raise UsageError(f"the search in {self.directory} has no trained supernet yet")
        supernet = self.supernet()
        evaluate = self.evaluator(supernet)
        space, _ = self._space(Judge(self.space, self.planner), supernet)
        self.candidates(Judge(space, self.planner), evaluate)

    def finetuned(
        self, supernet: SharedWeights, arch: Architecture
    ) -> tuple[AnyNetwork, float | None]:
        """The subnet by itself, trained on from its slice; its validation accuracy.

        With `refit` the validation images, by which nothing is chosen any more, are trained on too,
        and so give no accuracy.
        """
        network, refit = supernet.materialise(arch), self.settings.refit
        trainer = Trainer(
            network,
            self.data.joined() if refit else self.data,
            self.budget.finetune,
            self.directory / f"finetune-{arch.key()}",
            distilled_loss(self.teacher) if self.teacher else plain_loss,
            self.watched,
            self.device,
            fused=True,
            threads=self.settings.threads,
        )
        trainer.run(self.training("fine-tuning"))
        network.eval()
        if refit:
            return network, None
        return network, accuracy(network, self.data, self.data.validation, self.device)

    def _rounded(self, network: AnyNetwork) -> tuple[dict[str, Any], str]:
        """Trained on with the rounding of integer code: what that did, and the ranges to keep."""
        from mcuformer.search.qat import qat_recipe, train_rounded

        return train_rounded(
            network,
            self.data.joined() if self.settings.refit else self.data,
            qat_recipe(self.budget.finetune),
            self.directory / f"qat-{network.arch.key()}",
            teacher=self.teacher,
            report=self.training("training with rounding"),
        )

    def _finish(self, network: AnyNetwork, kept: str | None, test: Images) -> Outcome:
        """Exported, compiled and checked."""
        model, data, build = (
            self.directory / name for name in (products.MODEL, products.DATA, products.BUILD)
        )
        self.say("exporting")
        export(network, self.data, model, rounded=kept)
        calibration(self.data, data)
        compile_found(self.planner, self.settings.board, model, data, build, self.say)
        order = list(range(len(test)))
        Random(0).shuffle(order)  # the first of them go to the emulator: all classes
        test = test.take(torch.tensor(order).numpy())
        return check(build, test, self.data.classes, self.budget.emulated, self.say)


def _finished(document: dict[str, Any]) -> dict[str, Any]:
    """Empty where an earlier version wrote it, which said less."""
    if "pareto" not in document:
        return {}
    text(document)
    return document


def _kept_space(table: dict[str, Any]) -> Space:
    own: dict[str, Any] = {
        name: table[name] for name in ("family", "ratio", "image", "classes") if name in table
    }
    return parse_space(table["name"], {**table["choices"], **own})
