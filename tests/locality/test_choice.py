"""Which heads are taken for what they save: every choice is the best at some price, and rings count."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest

from mcuformer.locality.choice import LayerOffer, between, choices, head_instructions


def offer(name: str, losses: list[dict[int, float]], lines: int = 12) -> LayerOffer:
    work = {r: float(head_instructions(144, (12, 12), 16, 16, r)) for r in losses[0]}
    return LayerOffer(name, tuple(losses), work, lines)


def totals(layer: LayerOffer, radii: tuple[int, ...]) -> tuple[float, float]:
    """Loss and work by the definition: heads, and as much as one whole head for K and V that are kept."""
    kept = (2 * max(radii) + 1) / layer.lines if layer.lines and all(radii) else 1.0
    loss = sum(losses[r] for losses, r in zip(layer.losses, radii, strict=True))
    return loss, sum(layer.work[r] for r in radii) + layer.work[0] * min(kept, 1.0)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("lines", [12, 0])
def test_no_choice_is_better_at_any_price(seed: int, lines: int) -> None:
    rng = np.random.default_rng(seed)
    heads = [[{0: 0.0, **dict(zip((3, 2, 1), np.cumsum(rng.exponential(size=3)), strict=True))}
              for _ in range(3)] for _ in range(2)]  # fmt: skip
    layers = [offer(str(i), losses, lines) for i, losses in enumerate(heads)]
    found = choices(layers)
    assert set(found[0].radii.values()) == {(0, 0, 0)}
    for before, after in pairwise(found):
        assert before.loss < after.loss and before.work > after.work
    for c in found:
        parts = [totals(n, c.radii[n.name]) for n in layers]
        assert np.allclose((c.loss, c.work), np.sum(parts, axis=0))
    every = [[totals(n, radii) for radii in product(range(4), repeat=3)] for n in layers]
    for price in np.geomspace(1e-8, 1e-2, 25):
        least = sum(min(loss + price * work for loss, work in one) for one in every)
        assert min(c.loss + price * c.work for c in found) == pytest.approx(least)


def test_the_last_whole_head_of_a_layer_goes_before_the_first_of_another() -> None:
    """Four heads lose the same, and two of them are one layer's."""
    heads = [{0: 0.0, 2: 0.01}, {0: 0.0, 2: 0.011}]
    steps = [dict(c.radii) for c in choices([offer("a", heads), offer("b", heads)])]
    assert steps == [{"a": (0, 0), "b": (0, 0)}, {"a": (2, 2), "b": (2, 2)}]
    apart = [dict(c.radii) for c in choices([offer("a", heads, lines=0)])]
    assert apart == [{"a": (0, 0)}, {"a": (2, 0)}, {"a": (2, 2)}]


def test_a_smaller_radius_is_taken_for_what_it_saves() -> None:
    """One that costs hardly more is taken at once, one that costs a lot comes after other heads."""
    cheap, dear = {0: 0.0, 3: 0.01, 1: 0.0101}, {0: 0.0, 3: 0.01, 1: 1.0}
    steps = [c.radii["a"] for c in choices([offer("a", [cheap, dear], lines=0)])]
    assert steps == [(0, 0), (1, 0), (1, 3), (1, 1)]


def test_heads_between_two_choices_come_by_what_they_cost() -> None:
    first, second = {"a": (0, 2), "b": (0, 0)}, {"a": (1, 2), "b": (3, 1)}
    alone = {("a", 0): {1: 0.2}, ("b", 0): {3: 0.1, 1: 0.4}, ("b", 1): {1: 0.3}}
    assert between(first, second, alone) == [
        first,
        {"a": (0, 2), "b": (3, 0)},
        {"a": (1, 2), "b": (3, 0)},
        second,
    ]


def test_what_costs_nothing_is_taken_at_no_price() -> None:
    assert [c.radii["a"] for c in choices([offer("a", [{0: 0.0, 1: 0.0}] * 2)])] == [(1, 1)]


def test_instructions_of_a_head_grow_with_its_radius() -> None:
    """Up to a grid on which the band is nearly everything: there it costs more than all keys."""
    found = [head_instructions(196, (14, 14), 16, 16, r) for r in (1, 2, 3, 4, 0)]
    assert found == sorted(found) and found[1] < 0.5 * found[-1]
    assert head_instructions(49, (7, 7), 16, 16, 3) > head_instructions(49, (7, 7), 16, 16, 0)
