"""How much work a search does, in epochs and candidates, never in seconds."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mcuformer.search.train import Recipe

MANY = 10_000  # images


@dataclass(frozen=True, slots=True)
class Study:
    """Networks that are trained alone for `epochs` to check the supernet's order; `seeds` of search
    against random draws."""

    subnets: int
    epochs: int
    seeds: int


@dataclass(frozen=True, slots=True)
class Budget:
    """`share_draws`: random networks whose legality is counted; `judged`: validation images that a
    candidate is judged by, at most; `surveyed`: those of each of the many networks by which a space is;
    `emulated`: test images that Unicorn runs."""

    supernet: Recipe
    finetune: Recipe
    rounds: int
    candidates: int
    population: int
    share_draws: int
    emulated: int
    study: Study
    judged: int = 4000
    surveyed: int = 1000


def budget_of(name: str, seed: int, protocol: str, amp: bool, images: int) -> Budget:
    """`small` for CI, `normal` for two CPU cores and minutes, `large` for a GPU.

    `images` are those to train on: with many, a larger batch saves time.
    """

    def recipe(epochs: int, batch: int, lr: float, optimizer: str = "muon") -> Recipe:
        return Recipe(
            epochs=epochs,
            batch=max(batch, 128) if images > MANY else batch,
            lr=lr,
            optimizer=optimizer,
            protocol=protocol,
            amp=amp,
            seed=seed,
        )

    if name == "small":
        return Budget(recipe(3, 64, 6e-3), recipe(4, 64, 8e-3), 1, 8, 4, 20, 10, Study(4, 2, 2))
    if name == "normal":
        return Budget(
            recipe(40, 64, 6e-3), recipe(60, 64, 8e-3), 3, 80, 16, 60, 60, Study(12, 10, 3)
        )
    return Budget(
        recipe(120, 512, 6e-3), recipe(400, 512, 6e-3), 4, 1000, 50, 1000, 200, Study(16, 60, 3)
    )


def with_counts(
    budget: Budget,
    supernet_epochs: int | None,
    finetune_epochs: int | None,
    candidates: int | None,
) -> Budget:
    """The same with other lengths, where given."""
    supernet, finetune = budget.supernet, budget.finetune
    return replace(
        budget,
        supernet=replace(supernet, epochs=supernet_epochs or supernet.epochs),
        finetune=replace(finetune, epochs=finetune_epochs or finetune.epochs),
        candidates=candidates or budget.candidates,
    )
