"""How much work a search does, in epochs and candidates, never in seconds."""

from __future__ import annotations

from dataclasses import dataclass

from mcuformer.search.train import Recipe


@dataclass(frozen=True, slots=True)
class Budget:
    """`share_draws`: random networks whose legality is counted."""

    supernet: Recipe
    finetune: Recipe
    rounds: int
    candidates: int
    population: int
    share_draws: int
    emulated: int


def budget_of(name: str, seed: int, protocol: str, amp: bool) -> Budget:
    """`small` for CI, `normal` for two CPU cores and minutes, `large` for a GPU."""

    def recipe(epochs: int, batch: int, lr: float, optimizer: str = "muon") -> Recipe:
        return Recipe(
            epochs=epochs, batch=batch, lr=lr, optimizer=optimizer, protocol=protocol, amp=amp,
            seed=seed,
        )

    if name == "small":
        return Budget(recipe(3, 64, 6e-3), recipe(4, 64, 8e-3), 1, 8, 4, 20, 10)
    if name == "normal":
        return Budget(recipe(40, 64, 6e-3), recipe(60, 64, 8e-3), 2, 80, 16, 60, 60)
    return Budget(recipe(120, 512, 6e-3), recipe(400, 512, 6e-3), 4, 1000, 50, 1000, 200)


BUDGETS = ("small", "normal", "large")
