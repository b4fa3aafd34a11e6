"""What makes `validate` fail: unequal bits before any limit of the user."""

import pytest

from mcuformer.validate.verdict import verdict


def document(**changes):
    exact = {"equal": True, "differing": [], "samples": 4}
    agreement = {"sqnr_db": 30.0, "top1_percent": 90.0}
    return {"bit_exact": exact, "agreement": agreement, "why": {}, "emulator": "host", **changes}


def test_equal_bits_and_no_limits_are_fine():
    assert verdict(document(), None, None) is None
    assert verdict(document(), 30.0, 90.0) is None


def test_unequal_bits_come_before_limits():
    unequal = {"equal": False, "differing": [2], "samples": 4}
    error = verdict(document(bit_exact=unequal), 99.0, 99.0)
    assert error is not None and "1 of 4 samples" in error.message


@pytest.mark.parametrize(("limits", "what"), [((31.0, None), "SQNR"), ((None, 91.0), "top-1")])
def test_a_limit_that_is_missed_is_named(limits, what):
    error = verdict(document(), *limits)
    assert error is not None and what in error.message and "was asked for" in error.message


def test_a_limit_on_what_is_not_known_fails_with_the_reason():
    error = verdict(document(agreement=None, why={"agreement": "no model"}), None, 50.0)
    assert error is not None and "not known: no model" in error.message


def test_without_any_error_every_sqnr_is_reached():
    exact = document(agreement={"sqnr_db": None, "top1_percent": 100.0})
    assert verdict(exact, 200.0, None) is None
