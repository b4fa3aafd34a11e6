"""Data of one kind as a network for another takes it: its size, its channels, its normalisation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import UsageError
from mcuformer.search.data import Data, Images, grey


def fitted(
    data: Data, image: tuple[int, int, int], mean: tuple[float, ...], std: tuple[float, ...]
) -> Data:
    """`image`: height, width, channels. Mean and std are the network's own: its first layer was
    trained with them, and pixels become numbers in one way for all tasks."""
    return replace(
        data,
        train=fitted_images(data.train, image),
        validation=fitted_images(data.validation, image),
        mean=mean,
        std=std,
    )


def fitted_images(images: Images, image: tuple[int, int, int]) -> Images:
    """Resized bilinearly (other proportions are stretched); one channel is repeated, three become
    their luminance where one is wanted."""
    height, width, channels = image
    x = images.x
    if x.shape[1] != channels:
        x = _channels(x, channels)
    if x.shape[2:] != (height, width):
        with ThreadPoolExecutor() as pool:
            rows = pool.map(lambda one: _resized(one, height, width), x, chunksize=256)
            x = np.stack(list(rows))
    return Images(x, images.y)


def _channels(x: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    if x.shape[1] == 1:
        return np.repeat(x, channels, axis=1)
    if channels == 1 and x.shape[1] == 3:
        return grey(x)
    raise UsageError(
        f"the network takes images of {channels} channels, the data has {x.shape[1]}",
        "one channel goes with every network, three with one of three or one",
    )


def _resized(one: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """[C, H, W]; channels that are alike are resized once."""
    from PIL import Image

    def plane(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        done = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(done, np.uint8)

    if all(np.array_equal(one[0], other) for other in one[1:]):
        return np.repeat(plane(one[0])[None], len(one), axis=0)
    return np.stack([plane(channel) for channel in one])
