"""Image data for search and training: training and validation parts; the test part apart from both.

`load` never touches test images: the search reads them once, at its end, through `load_test`.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import UsageError

VALIDATION_SHARE = 0.15
FASHION = Path("/usr/share/datasets/fashion-mnist")
DATA_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp"))
DIGITS_SIZE = 24
_DIGITS = tuple("0123456789")
FASHION_CLASSES = (
    "T-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "boot",
)


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """`x` uint8 [N, C, H, W], `y` int64 [N]."""

    x: NDArray[np.uint8]
    y: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.y)

    def take(self, index: NDArray[np.int64]) -> Images:
        return Images(self.x[index], self.y[index])


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """`mean`, `std` per channel over 0..1; `mirror`: a mirrored image keeps its class."""

    name: str
    train: Images
    validation: Images
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    mirror: bool

    @property
    def image(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        _, c, h, w = self.train.x.shape
        return h, w, c

    def validated(self) -> Data:
        """Itself; UsageError before hours of training that no image could judge."""
        if not len(self.validation):
            raise UsageError(
                f"the data has {len(self.train)} images, too few of each class to validate on some",
                "a class of four or more leaves one for validation",
            )
        return self

    def joined(self) -> Data:
        """Validation images among those to train on."""
        parts = (self.train, self.validation)
        both = Images(np.concatenate([p.x for p in parts]), np.concatenate([p.y for p in parts]))
        return replace(self, train=both)


def normalisation(
    mean: Iterable[Any], std: Iterable[Any], channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What a file says of it, as numbers; ValueError for what no image can be normalised by."""
    found = tuple(map(float, mean)), tuple(map(float, std))
    if any(len(values) != channels for values in found):
        raise ValueError(f"{len(found[0])} means and {len(found[1])} deviations, not {channels}")
    if not (np.isfinite(found).all() and min(found[1]) > 0):
        raise ValueError(f"mean {found[0]} and deviation {found[1]} normalise nothing")
    return found


def load(spec: str, seed: int = 0) -> Data:
    """digits | fashion-mnist | cifar10:PATH | imagefolder:PATH[,size], the luminance of one of
    them as grey:..., or about N of its training images as few:N:...; validation is cut off."""
    source, classes, mirror = _source(spec)
    whole = source("train")
    held = stratified(whole.y, VALIDATION_SHARE, seed)
    train = whole.take(np.flatnonzero(~held))
    pixels = train.x.astype(np.float64).transpose(1, 0, 2, 3).reshape(train.x.shape[1], -1) / 255
    return Data(
        spec.split(":", maxsplit=1)[0],
        train,
        whole.take(np.flatnonzero(held)),
        classes,
        tuple(round(float(v), 6) for v in pixels.mean(axis=1)),
        tuple(round(max(float(v), 1e-3), 6) for v in pixels.std(axis=1)),
        mirror,
    )


def check(spec: str) -> None:
    """UsageError for what names no data; no image is read."""
    _source(spec)


def load_test(spec: str) -> Images:
    """The test part."""
    return _source(spec)[0]("test")


def stratified(y: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """A mask with `share` of every class, the same for the same seed."""
    rng = np.random.Generator(np.random.PCG64(seed))
    mask = np.zeros(len(y), np.bool_)
    for label in np.unique(y):
        index = rng.permutation(np.flatnonzero(y == label))
        mask[index[: round(share * len(index))]] = True
    return mask


_Source = Callable[[str], Images]


def _source(spec: str) -> tuple[_Source, tuple[str, ...], bool]:
    """How to read a part, the classes, and whether mirroring keeps them."""
    kind, _, rest = spec.partition(":")
    if kind == "grey":
        coloured, names, mirror = _source(rest)
        return lambda part: _grey_images(coloured(part)), names, mirror
    if kind == "few":
        count, _, of = rest.partition(":")
        if not count.isdecimal() or not int(count):
            raise UsageError(f"{spec} does not say how many images", "few:N:DATA")
        every, names, mirror = _source(of)
        least = 4 * len(names)  # one of four is for validation (VALIDATION_SHARE, rounded)
        if int(count) < least:
            raise UsageError(
                f"{spec} leaves a class without images to train on or to validate on",
                f"few:{least}:{of} or more",
            )
        return (
            lambda part: _few(every(part), int(count) if part == "train" else None),
            names,
            mirror,
        )
    if kind == "digits" and not rest:
        return _digits, _DIGITS, False
    if kind == "fashion-mnist":
        folder = Path(rest) if rest else FASHION
        if not folder.is_dir():
            raise UsageError(
                f"no Fashion-MNIST at {folder}",
                "apt-get install dataset-fashion-mnist, or fashion-mnist:PATH",
            )
        return lambda part: _idx(folder, part), FASHION_CLASSES, True
    if kind in ("cifar10", "imagefolder") and rest:
        path, _, size = rest.partition(",")
        if size and not size.isdigit():
            raise UsageError(f"the size in {spec} is no number")
        root = Path(path)
        if not (root / "train").is_dir() or not (root / "test").is_dir():
            raise UsageError(f"{root} has no train/ and test/", "lay it out as train/CLASS/*.jpg")
        names = tuple(sorted(p.name for p in (root / "train").iterdir() if p.is_dir()))
        pixels = int(size) if size else 32 if kind == "cifar10" else 64
        return lambda part: _folder(root / part, names, pixels), names, True
    raise UsageError(
        f"unknown data {spec}",
        "digits, fashion-mnist, cifar10:PATH, imagefolder:PATH[,size], grey:DATA or few:N:DATA",
    )


def grey(x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB [N, 3, H, W] as luminance (ITU-R BT.601) [N, 1, H, W]."""
    weights = np.array([299, 587, 114], np.uint32)[:, None, None]
    parts = [(p * weights).sum(axis=1, dtype=np.uint32) for p in np.array_split(x, 64)]
    return ((np.concatenate(parts) + 500) // 1000).astype(np.uint8)[:, None]


def _few(images: Images, count: int | None) -> Images:
    """As many of every class, always the same ones; None or more than there are: all."""
    if count is None or count >= len(images):
        return images
    return images.take(np.flatnonzero(stratified(images.y, count / len(images), seed=0)))


def _grey_images(images: Images) -> Images:
    return images if images.x.shape[1] == 1 else Images(grey(images.x), images.y)


def _digits(part: str) -> Images:
    """scikit-learn's 1,797 digits of 8x8, enlarged bilinearly to 24x24; a fifth is for the test."""
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]

    found = load_digits()
    y = found.target.astype(np.int64)
    inside = stratified(y, 0.2, seed=0) == (part == "test")
    small = found.images[inside].astype(np.float64) * (255 / 16)
    at = np.clip((np.arange(DIGITS_SIZE) + 0.5) * 8 / DIGITS_SIZE - 0.5, 0, 7)
    low = np.minimum(at.astype(int), 6)
    weights = np.zeros((DIGITS_SIZE, 8))
    weights[np.arange(DIGITS_SIZE), low] = 1 - (at - low)
    weights[np.arange(DIGITS_SIZE), low + 1] += at - low
    large = np.einsum("ia,nab,jb->nij", weights, small, weights)
    return Images(np.floor(large + 0.5).astype(np.uint8)[:, None], y[inside])


def _idx(folder: Path, part: str) -> Images:
    stem = "train" if part == "train" else "t10k"
    x = _read_idx(folder / f"{stem}-images-idx3-ubyte.gz")
    y = _read_idx(folder / f"{stem}-labels-idx1-ubyte.gz")
    return Images(x[:, None], y.astype(np.int64))


def _read_idx(path: Path) -> NDArray[np.uint8]:
    """Two zero bytes, a type, the rank, big-endian sizes, then the bytes."""
    raw = gzip.decompress(path.read_bytes())
    sizes = np.frombuffer(raw, ">u4", count=raw[3], offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(sizes)


@lru_cache(maxsize=2)
def _folder(root: Path, classes: tuple[str, ...], size: int) -> Images:
    """Images as RGB; others than `size` squared are resized by the short side and cut centrally.

    Kept while the process lives: decoding 50,000 files takes longer than a training's epoch of some networks.
    """
    paths, y = [], []
    for label, name in enumerate(classes):
        if not (root / name).is_dir():
            raise UsageError(f"{root} has no folder {name}", "every class needs train/ and test/")
        found = [p for p in sorted((root / name).iterdir()) if p.suffix.lower() in DATA_SUFFIXES]
        paths += found
        y += [label] * len(found)
    if not paths:
        raise UsageError(f"{root} holds no images")
    with ThreadPoolExecutor() as pool:  # Pillow decodes without Python's lock
        x = list(pool.map(lambda path: _read_image(path, size), paths, chunksize=64))
    return Images(np.stack(x).transpose(0, 3, 1, 2), np.asarray(y, np.int64))


def _read_image(path: Path, size: int) -> NDArray[np.uint8]:
    from PIL import Image

    try:
        with Image.open(path) as opened:
            return _square(opened.convert("RGB"), size)
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's, of broken files
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise UsageError(f"{path} is no readable image: {reason}", "mend or remove it") from error


def _square(image: object, size: int) -> NDArray[np.uint8]:
    from PIL import Image

    assert isinstance(image, Image.Image)
    w, h = image.size
    if (w, h) != (size, size):
        ratio = size / min(w, h)
        wide, high = max(size, round(w * ratio)), max(size, round(h * ratio))
        left, top = (wide - size) // 2, (high - size) // 2
        image = image.resize((wide, high), Image.Resampling.BILINEAR)
        image = image.crop((left, top, left + size, top + size))
    return np.asarray(image, np.uint8)
