"""Image folders: which files, which class, and a file as pixels of the size that a model wants."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import ToolMissingError, UsageError

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".ppm", ".pgm", ".tif")
)


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """`labels[i]` is the index of its folder in `classes` (sorted names), None without folders."""

    files: tuple[Path, ...]
    labels: NDArray[np.int64] | None
    classes: tuple[str, ...]


def list_images(folder: Path) -> ImageFolder:
    """`folder/<class>/*.jpg`, or images directly in `folder` (then there are no labels)."""
    groups = {d.name: _images(d) for d in sorted(folder.iterdir()) if d.is_dir()}
    groups = {name: files for name, files in groups.items() if files}
    if groups:
        labels = np.repeat(np.arange(len(groups)), [len(f) for f in groups.values()])
        return ImageFolder(tuple(f for fs in groups.values() for f in fs), labels, tuple(groups))
    files = _images(folder)
    if not files:
        raise UsageError(
            f"{folder} holds no images", f"it may hold {', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    return ImageFolder(tuple(files), None, ())


def read_image(path: Path, height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """uint8 [height, width, channels]; another size is resized over its whole area (bicubic)."""
    image_module = _pillow()
    if channels not in (1, 3):
        raise UsageError(f"{path} cannot become an image of {channels} channels", "use a .npz")
    try:
        with image_module.open(path) as image:
            image = image.convert("L" if channels == 1 else "RGB")
            if image.size != (width, height):
                image = image.resize((width, height), image_module.Resampling.BICUBIC)
            return np.asarray(image, np.uint8).reshape(height, width, channels)
    except (OSError, ValueError, image_module.DecompressionBombError) as error:
        raise UsageError(f"{path} is no readable image: {error}") from error


def _images(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())


def _pillow() -> Any:
    try:
        import PIL.Image
    except ImportError as error:
        hint = "pip install 'mcuformer[validate]'"
        raise ToolMissingError("reading images needs pillow", hint) from error
    return PIL.Image
