"""Rendered lines of text for models that read them: seeded, in pillow's own font."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

WORDS = """
the of and to in is you that it he was for on are as with his they at be this have from or one had by
word but not what all were we when your can said there use an each which she do how their if will up
other about out many then them these so some her would make like him into time has look two more write
go see number no way could people my than first water been call who oil its now find long down day did
""".split()
PAPER = 127  # behind a line that is too short


def lines(seed: int, count: int, height: int, width: int) -> NDArray[np.uint8]:
    """[count, height, width, 3] in BGR, as OpenCV reads images."""
    rng = np.random.default_rng(seed)
    return np.stack([_fitted(_rendered(_text(rng), rng), height, width) for _ in range(count)])


def as_floats(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[N, H, W, 3] -> [N, 3, H, W] in -1..1, as PaddleOCR has it."""
    scaled = (pixels.astype(np.float32) / 255 - 0.5) / 0.5
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def _text(rng: np.random.Generator) -> str:
    words = []
    for _ in range(rng.integers(2, 5)):
        word = str(rng.choice(WORDS))
        spellings = (word, word.upper(), word.title(), str(rng.integers(100_000)), word)
        words.append(spellings[rng.integers(len(spellings))])
    return " ".join(words)


def _rendered(text: str, rng: np.random.Generator) -> Image.Image:
    font = ImageFont.load_default(float(rng.integers(24, 40)))
    left, top, right, bottom = font.getbbox(text)
    ink, paper = (tuple(int(v) for v in rng.integers(*span, 3)) for span in ((0, 110), (170, 256)))
    image = Image.new("RGB", (int(right - left) + 16, int(bottom - top) + 12), paper)
    ImageDraw.Draw(image).text((8 - left, 6 - top), text, fill=ink, font=font)
    return image


def _fitted(image: Image.Image, height: int, width: int) -> NDArray[np.uint8]:
    across = min(width, max(1, round(image.width * height / image.height)))
    pixels = np.asarray(image.resize((across, height), Image.Resampling.BILINEAR), np.uint8)
    out = np.full((height, width, 3), PAPER, np.uint8)
    out[:, :across] = pixels[:, :, ::-1]
    return out
