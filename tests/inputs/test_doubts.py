"""mcuformer/inputs/doubts.py: what is refused, what is doubted, what is ordinary."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mcuformer.errors import Diagnostic, UsageError
from mcuformer.inputs.doubts import (
    InputSamples,
    calibration_doubts,
    finite_float32,
    normalisation_doubts,
    wanted_grid,
    wanted_pixels,
)

RNG = np.random.default_rng(7)
PIXELS = RNG.integers(0, 256, (16, 3, 8, 8), dtype=np.uint8)
NOISE = RNG.normal(size=(16, 3, 8, 8)).astype(np.float32)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGENET = wanted_pixels(MEAN, STD)
UNIT = PIXELS.astype(np.float32) / 255
NORMAL = (
    (UNIT - np.reshape(MEAN, (1, 3, 1, 1))) / np.reshape(STD, (1, 3, 1, 1))
).astype(np.float32)  # fmt: skip
ROWS = RNG.normal(size=(12, 20, 6)).astype(np.float32)


def image(samples: NDArray, wanted: object = None) -> InputSamples:
    return InputSamples("image", samples, 1, wanted)  # type: ignore[arg-type]


def rows(samples: NDArray) -> InputSamples:
    return InputSamples("rows", samples)


def changed(samples: NDArray, index: object, value: float) -> NDArray:
    copy = samples.copy()
    copy[index] = value
    return copy


def codes(doubts: list[Diagnostic]) -> list[str]:
    assert all(d.severity == "warning" and d.hint for d in doubts)
    return [d.code for d in doubts]


@pytest.mark.parametrize(
    "one",
    [
        image(PIXELS),
        image(PIXELS, IMAGENET),
        image(PIXELS // 2),
        image(PIXELS[:, :1]),
        image(PIXELS[:, [0, 0, 0]]),
        image(NOISE),
        image(3 * NOISE),
        image(NOISE, IMAGENET),
        image(NOISE, wanted_pixels((0.5,), (0.5,))),
        image(NORMAL, IMAGENET),
        image(0.3 * NORMAL, IMAGENET),
        image(UNIT),
        image(UNIT, wanted_pixels((0.0,), (1.0,))),
        image(2 * UNIT - 1, wanted_pixels((0.5,), (0.5,))),
        image(PIXELS.astype(np.float32), wanted_pixels((0.0,), (1 / 255,))),
        image(NOISE, wanted_grid(0.03, 0, "int8")),
        rows(ROWS),
        rows(100 * ROWS),
        rows(np.abs(100 * ROWS).round()),
        rows(ROWS[:8, 0]),
        rows(np.eye(8, dtype=np.float32)),
    ],
)
def test_ordinary_data_are_no_cause_of_doubt(one: InputSamples) -> None:
    assert calibration_doubts([one]) == []


@pytest.mark.parametrize(
    ("one", "code", "said"),
    [
        (image(PIXELS[:7]), "calibration-few", "has 7 samples; wanted are at least 8"),
        (rows(ROWS[:1]), "calibration-few", "has 1 sample;"),
        (rows(ROWS[:1, 0]), "calibration-few", "has 1 sample;"),
        (image(NOISE[[0, 1, 2] * 5]), "calibration-few", "only 3 of the 15"),
        (image(NOISE[[4] * 15]), "calibration-equal", "all 15 calibration samples are equal"),
        (image(changed(PIXELS, np.s_[:, 1], 9)), "calibration-channel", r"channel 1 of 3 .*\(9\)"),
        (rows(changed(ROWS, np.s_[..., 2:4], 0)), "calibration-channel", r"2 of 6 .*\(2,3\)"),
        (image(PIXELS % 2), "calibration-pixels", "all 0 or 1; integers count as pixels 0..255"),
        (image(PIXELS % 17), "calibration-pixels", "within 0..16"),
        (image(PIXELS.astype(np.float32), IMAGENET), "calibration-range",
         r"like pixels 0..255 \(0..255, mean 12.*wanted are -2.118..2.64: pixels with mean 0.485"),
        (image(UNIT, IMAGENET), "calibration-range", "pixels over 0..1, before mean and std"),
        (image(UNIT, wanted_pixels((0.5,), (0.5,))), "calibration-range", "over 0..1"),
        (image(50 * NOISE, IMAGENET), "calibration-range", "are far off"),
        (image(NORMAL / 255, IMAGENET), "calibration-range", "hardly differ"),
        (image(NOISE - 20, wanted_grid(0.03, 0, "int8")), "calibration-range",
         r"far off .*-3.84..3.81: the model's input scale 0.03 and zero point 0"),
        (image(PIXELS.astype(np.float32)), "calibration-scale", "within 0..255 like pixels"),
        (image(PIXELS[:, :1].astype(np.float32)), "calibration-scale", "without mean and std"),
    ],
)  # fmt: skip
def test_doubtful_data(one: InputSamples, code: str, said: str) -> None:
    (doubt,) = calibration_doubts([one])
    assert codes([doubt]) == [code]
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(doubt.message)


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (image(PIXELS * 0), "constant: 0 everywhere, in all 16 samples"),
        (rows(ROWS * 0 + 3), "constant: 3 everywhere"),
        (image(NORMAL * 0 + NORMAL[:1, :, :1, :1]), "constant: .*,.*,.* everywhere"),
        (image(changed(NOISE, (3, 0, 0, 0), np.nan)), "1 in 1 samples, the first is sample 3"),
        (rows(changed(ROWS, np.s_[5:, 0, 0], -np.inf)), "7 in 7 samples, the first is sample 5"),
    ],
)
def test_useless_data_are_refused(one: InputSamples, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        calibration_doubts([one])
    assert caught.value.exit_code == 2 and caught.value.hint


def test_one_of_several_inputs_may_be_constant() -> None:
    mask = InputSamples("mask", np.ones((12, 20), np.float32))
    (doubt,) = calibration_doubts([rows(ROWS), mask])
    assert (doubt.code, doubt.where) == ("calibration-constant", "mask")
    assert calibration_doubts([rows(ROWS[[0] * 12]), InputSamples("other", ROWS)]) == []
    with pytest.raises(UsageError, match="constant"):
        calibration_doubts([mask, mask])


def test_numbers_that_float32_cannot_hold() -> None:
    assert finite_float32(np.array([[1.0]]), "x").dtype == np.float32
    with pytest.raises(UsageError, match="x holds NaN or infinite numbers"):
        finite_float32(np.array([[1.0], [1e300]]), "x")


@pytest.mark.parametrize(
    ("mean", "std"),
    [(MEAN, STD), ((0.5,), (0.5,)), ((0.0,), (1.0,)), ((0.0,), (1 / 255,)), ((1.0,), (0.001,))],
)
def test_ordinary_normalisation(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    assert normalisation_doubts(mean, std) == []


def test_a_std_above_1_is_doubtful() -> None:
    (doubt,) = normalisation_doubts((0.5,), (2.0,))
    assert codes([doubt]) == ["normalisation-std"] and "a step of 0.5 only" in doubt.message


@pytest.mark.parametrize(
    ("mean", "std", "hint"),
    [
        ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375),
         "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"),
        ((123.675,), (0.229,), "--mean 0.485 --std 0.229"),
        ((0.485,), (58.395,), "--mean 0.485 --std 0.229"),
        ((-0.485,), (0.229,), "divided by 255"),
        ((0.5,), (0.0,), "over 0..1"),
        ((0.5,), (-0.2,), "over 0..1"),
        ((float("nan"),), (1.0,), "over 0..1"),
    ],
)  # fmt: skip
def test_impossible_normalisation(
    mean: tuple[float, ...], std: tuple[float, ...], hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        normalisation_doubts(mean, std)
    assert hint in str(caught.value.hint)
