"""Calibration that cannot be right: what is certain is refused, what is doubtful is a diagnostic.

Pure functions on what was loaded. Certain (UsageError): NaN and infinity, data without any change,
a mean or std that no pixels have. Doubtful (severity "warning"): all else that is rarely meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import Diagnostic, UsageError

FEWEST = 8  # samples; ranges from fewer are guesses
_FAR_SHARE = 0.1  # of the numbers, half a range or more outside: noise is often given, pixels fit
_NARROW = 8  # the data fill less than this part of the range
_WHOLE_STD = 10.0  # a std in 0..255 is larger, a scale for 0..1 is not
_GREY_LEVELS = 32
_SHOWN = 6  # numbers in a message
_ENOUGH = 8  # samples that tell whether floats are whole numbers


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """The numbers that an input is made for: `low`, `high` per channel or ().

    `source` says how that is known; `pixels`: as mean and std make them.
    """

    low: NDArray
    high: NDArray
    source: str
    pixels: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class InputSamples:
    """What was loaded for one input: uint8 pixels or floats [N, ...]; of an image `channel_axis` 1."""

    name: str
    samples: NDArray
    channel_axis: int = -1
    wanted: Wanted | None = None

    @property
    def is_image(self) -> bool:
        return self.channel_axis == 1


def wanted_pixels(mean: Sequence[float], std: Sequence[float]) -> Wanted:
    """What (p / 255 - mean) / std makes of pixels 0..255."""
    m, s = (np.asarray(v, np.float64) for v in (mean, std))
    return Wanted(-m / s, (1 - m) / s, f"pixels with mean {_list(m)} and std {_list(s)}", True)


def wanted_grid(scale: float, zero_point: int, dtype: str) -> Wanted:
    """What the input scale of a QDQ model can hold."""
    info = np.iinfo(dtype)
    low, high = (np.asarray(scale * (q - zero_point)) for q in (info.min, info.max))
    return Wanted(low, high, f"the model's input scale {scale:g} and zero point {zero_point}")


def finite_float32(
    array: NDArray, what: str, numbers: NDArray | None = None
) -> NDArray[np.float32]:
    """As float32; UsageError for NaN, infinity, or what float32 cannot hold. Axis 0 is the sample,
    whose number is in `numbers` where it is not its place."""
    with np.errstate(over="ignore"):
        floats = array.astype(np.float32, copy=False)
    bad = ~np.isfinite(floats)
    if bad.any():
        rows = np.flatnonzero(bad.reshape(len(floats), -1).any(axis=1)) if floats.ndim else [0]
        raise UsageError(
            f"{what} holds NaN or infinite numbers: {int(bad.sum()):,} in {len(rows)} samples, "
            f"the first is sample {int(rows[0] if numbers is None else numbers[rows[0]])}",
            "leave such samples out, or mend what made them",
        )
    return floats


def normalisation_doubts(mean: Sequence[float], std: Sequence[float]) -> list[Diagnostic]:
    """Mean and std of pixels over 0..1. UsageError where they are of no such pixels."""
    if not all(np.isfinite([*mean, *std])) or any(s <= 0 for s in std):
        raise UsageError(
            f"mean {_list(mean)} and std {_list(std)}: every std must be above 0",
            "they are those of pixels over 0..1, such as mean 0.485,0.456,0.406 std 0.229,0.224,0.225",
        )
    if any(not 0 <= m <= 1 for m in mean) or any(s > _WHOLE_STD for s in std):
        raise UsageError(
            f"mean {_list(mean)} and std {_list(std)} are not those of pixels over 0..1, "
            "which have a mean within 0..1 and a std of at most 0.5",
            _over_255(mean, std),
        )
    if all(s <= 1 for s in std):
        return []
    spans = _list([1 / s for s in std])
    return [
        _warning(
            "normalisation-std", None,
            f"std {_list(std)} is above 1; pixels over 0..1 have at most 0.5: black to white "
            f"becomes a step of {spans} only",
            "give mean and std over 0..1, as 0.229 for 58.4 of 255",
        )
    ]  # fmt: skip


def calibration_doubts(inputs: Sequence[InputSamples]) -> list[Diagnostic]:
    """What speaks against the samples of a model's inputs; UsageError where nothing can come of it."""
    for one in inputs:
        finite_float32(one.samples, f"the calibration of {one.name}")
    constant = [one for one in inputs if _is_constant(one)]
    if len(constant) == len(inputs):
        raise UsageError(
            f"the calibration data are constant: {_levels(constant[0])} everywhere, in all "
            f"{len(constant[0].samples)} samples",
            "give real inputs, which differ: every range is measured on them",
        )
    doubts = list(_too_few(inputs))
    for one in inputs:
        doubts += _constant(one) if one in constant else _channels(one)
        if one not in constant:
            doubts += _pixels(one) if one.samples.dtype == np.uint8 else _floats(one)
    return doubts


def _is_constant(one: InputSamples) -> bool:
    """One number all over; of an image one number per channel, such as black after mean and std."""
    low, high = _extremes(one)
    several = one.samples.size > low.size
    return bool(low.min() == high.max() or (one.is_image and several and (low == high).all()))


def _extremes(one: InputSamples) -> tuple[NDArray, NDArray]:
    """Least and largest number of every channel."""
    x = one.samples
    channel = one.channel_axis % x.ndim
    axes = tuple(a for a in range(x.ndim) if a != channel or channel == 0)
    return np.atleast_1d(x.min(axis=axes)), np.atleast_1d(x.max(axis=axes))


def _levels(one: InputSamples) -> str:
    return _list(np.unique(_extremes(one)[0]))


def _too_few(inputs: Sequence[InputSamples]) -> Iterator[Diagnostic]:
    count = len(inputs[0].samples)
    different = len({hash(tuple(one.samples[i].tobytes() for one in inputs)) for i in range(count)})
    hint = f"give {2 * FEWEST} or more that look like what the device will see"
    if count > 1 and different == 1:
        message = f"all {count} calibration samples are equal, which is one sample"
        yield _warning("calibration-equal", None, message, hint)
    elif different < FEWEST:
        some = f"only {different} of the {count} calibration samples differ"
        one = f"the calibration has {count} sample{'s' * (count > 1)}"
        message = f"{one if different == count else some}; wanted are at least {FEWEST}"
        yield _warning("calibration-few", None, message, hint)


def _constant(one: InputSamples) -> Iterator[Diagnostic]:
    """Of several inputs one may be a constant on the device, too: a mask, a temperature."""
    yield _warning(
        "calibration-constant", one.name,
        f"the calibration of {one.name} is {_levels(one)} in all {len(one.samples)} samples",
        "right only where the device gives it nothing else",
    )  # fmt: skip


def _channels(one: InputSamples) -> Iterator[Diagnostic]:
    low, high = _extremes(one)
    dead = np.flatnonzero(low == high)
    if not len(dead) or one.samples.size <= low.size:
        return
    which = f"channel {dead[0]} of {low.size} is" if len(dead) == 1 else (
        f"{len(dead)} of {low.size} channels ({_list(dead)}) are")  # fmt: skip
    yield _warning(
        "calibration-channel", one.name,
        f"{which} constant ({_list(low[dead])}) in all {len(one.samples)} calibration samples",
        "its range is unknown then: is it filled, and are the axes in the model's order?",
    )  # fmt: skip


def _pixels(one: InputSamples) -> Iterator[Diagnostic]:
    low, high = int(one.samples.min()), int(one.samples.max())
    if high - low >= _GREY_LEVELS:
        return
    seen = "all 0 or 1" if high <= 1 else f"all within {low}..{high}"
    yield _warning(
        "calibration-pixels", one.name,
        f"the calibration pixels are {seen}; integers count as pixels 0..255",
        "images over 0..1 must be multiplied by 255 before they become integers",
    )  # fmt: skip


def _floats(one: InputSamples) -> Iterator[Diagnostic]:
    x, wanted = one.samples, one.wanted
    low, high = float(x.min()), float(x.max())
    if wanted is None:
        if one.is_image and _like_pixels(one, low, high):
            yield _warning(
                "calibration-scale", one.name,
                f"the calibration floats are within {low:g}..{high:g} like pixels; without mean and "
                "std the model gets them as they are",
                "where the model wants normalised floats, give --mean and --std and save uint8 pixels; "
                "where it scales 0..255 itself: --mean 0 --std 0.0039215686 and uint8 pixels",
            )  # fmt: skip
        return
    why = _unlike(one, wanted, low, high)
    if why is not None:
        lies = f"{_number(wanted.low.min())}..{_number(wanted.high.max())}"
        yield _warning(
            "calibration-range", one.name,
            f"the calibration floats {why} ({low:g}..{high:g}, mean {float(x.mean()):.3g}); "
            f"wanted are {lies}: {wanted.source}",
            "give floats as the model gets them, (p / 255 - mean) / std, or uint8 pixels"
            if wanted.pixels else "give floats as the model gets them",
        )  # fmt: skip


def _unlike(one: InputSamples, wanted: Wanted, low: float, high: float) -> str | None:
    """How the floats differ from what is wanted, None where they may be right."""
    shape = [1] * one.samples.ndim
    shape[one.channel_axis] = -1
    below, above = (np.reshape(v, shape) if v.ndim else v for v in (wanted.low, wanted.high))
    span = above - below
    outside = (one.samples < below - span / 2) | (one.samples > above + span / 2)
    if outside.mean() > _FAR_SHARE:
        return "look like pixels 0..255" if _like_pixels(one, low, high) else "are far off"
    if wanted.pixels and low >= 0 and high <= 1 and wanted.low.min() < -0.25:
        return "look like pixels over 0..1, before mean and std"
    return "hardly differ" if (high - low) * _NARROW < span.min() else None


def _like_pixels(one: InputSamples, low: float, high: float) -> bool:
    """Floats that were pixels: colours, or whole numbers (a resized image has others, too)."""
    if low < 0 or not 16 < high <= 255.5:
        return False
    few = one.samples[:_ENOUGH]
    return one.samples.shape[one.channel_axis] == 3 or bool((few == np.rint(few)).all())


def _over_255(mean: Sequence[float], std: Sequence[float]) -> str:
    if any(m < 0 or m > 255 for m in mean) or any(s > 255 for s in std):
        return "give the mean and std of pixels divided by 255"
    spread = [s / 255 if s > 1 else s for s in std]
    level = [m / 255 if m > 1 else m for m in mean]
    return f"divide what is given for 0..255 by 255: --mean {_list(level)} --std {_list(spread)}"


def _warning(code: str, where: str | None, message: str, hint: str) -> Diagnostic:
    return Diagnostic(severity="warning", code=code, where=where, message=message, hint=hint)


def _list(numbers: Sequence[float] | NDArray) -> str:
    shown = ",".join(_number(v) for v in list(numbers)[:_SHOWN])
    return shown + ",..." * (len(numbers) > _SHOWN)


def _number(value: float) -> str:
    return f"{float(value):.4g}"
