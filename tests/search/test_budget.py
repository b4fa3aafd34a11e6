"""Budgets count epochs and candidates; lengths that are given replace theirs."""

import pytest

pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")

from mcuformer.search.budget import MANY, budget_of, with_counts


def made(name, images=100):
    return budget_of(name, 7, "plain", False, images)


def test_each_is_more_work_than_the_one_before():
    work = [
        (b.supernet.epochs, b.finetune.epochs, b.candidates)
        for b in map(made, ("small", "normal", "large"))
    ]
    assert work == sorted(work) and len(set(work)) == 3


def test_many_images_get_a_larger_batch_and_every_recipe_the_seed():
    few, many = made("small"), made("small", MANY + 1)
    assert few.supernet.batch < many.supernet.batch == 128
    assert few.supernet.seed == few.finetune.seed == 7


def test_given_lengths_replace_the_budget_s():
    budget = with_counts(made("normal"), 2, None, 5)
    assert (budget.supernet.epochs, budget.candidates) == (2, 5)
    assert budget.finetune == made("normal").finetune
