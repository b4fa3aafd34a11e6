"""Rendered lines of text for a reader: seeded digits, Latin and Chinese, with the text of each.

The font is WenQuanYi Micro Hei (Apache-2.0, or GPL-3 with the font exception), which Debian's package
fonts-wqy-microhei installs; scripts/setup.sh does so. Nothing of it is part of this repository.

    python examples/ocr/lines.py --count 24 --seed 1 -o calibration.npz    # x [24,48,320,3] uint8, BGR
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

FONT = Path("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc")
HEIGHT, WIDTH = 48, 320
PAPER = 127  # behind a line that is too short: 0 where the pixels are scaled to -1..1
LATIN = """
the quick brown fox jumps over lazy dog water people number first find long down could made part sound
place years little work know great name sentence think help through much before line right means old same
tell boy follow came want show also around form three small set put end does another well large must big
even such because turn here why ask went men read need land different home us move try kind hand picture
""".split()
CHINESE = """
天气 今天 明天 我们 你好 世界 中国 北京 上海 学校 老师 学生 朋友 工作 时间 地方 问题 经济 社会 科学 技术 电脑 手机
汽车 火车 飞机 医院 银行 商店 超市 公园 图书馆 音乐 电影 新闻 报纸 语言 文字 历史 文化 数学 物理 化学 生物 春天
夏天 秋天 冬天 山水 河流 海洋 城市 农村 道路 桥梁 房屋 窗户 桌子 椅子 吃饭 喝茶 水果 苹果 香蕉 牛奶 面包 米饭 蔬菜
高兴 美丽 重要 简单 困难 开始 结束 成功 努力 学习 生活 健康 安全 出口 入口 注意 禁止 吸烟 请勿 触摸 营业 公司 有限
""".split()


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """`pixels` [count, height, width, 3] uint8 in BGR, as OpenCV reads images; the `texts` in them."""

    pixels: NDArray[np.uint8]
    texts: list[str]


def lines(seed: int, count: int, height: int = HEIGHT, width: int = WIDTH) -> Lines:
    """In turn digits, Latin, Chinese, and a mixture of them; as long as fits without being squeezed."""
    rng = np.random.default_rng(seed)
    texts, images = [], []
    for i in range(count):
        style = Style.drawn(rng)
        text = _text(i % 4, rng, lambda t, s=style: s.ratio(t) <= width / height)
        texts.append(text)
        images.append(fitted(style.image(text), height, width))
    return Lines(np.stack(images), texts)


def one(text: str, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """[height, width, 3]: black on white; squeezed where it is too long."""
    return fitted(Style(32, (0, 0, 0), (255, 255, 255)).image(text), height, width)


@dataclass(frozen=True, slots=True)
class Style:
    size: int
    ink: tuple[int, ...]
    paper: tuple[int, ...]

    @staticmethod
    def font(size: int) -> ImageFont.FreeTypeFont:
        """FileNotFoundError says what to install."""
        if not FONT.is_file():
            raise FileNotFoundError(f"no font {FONT}: apt-get install fonts-wqy-microhei")
        return ImageFont.truetype(str(FONT), size)

    @staticmethod
    def drawn(rng: np.random.Generator) -> Style:
        ink, paper = (
            tuple(int(v) for v in rng.integers(*span, 3)) for span in ((0, 110), (170, 256))
        )
        return Style(int(rng.integers(24, 40)), ink, paper)

    def ratio(self, text: str) -> float:
        """Width over height of its image."""
        left, top, right, bottom = self.font(self.size).getbbox(text)
        return (right - left + 16) / (bottom - top + 12)

    def image(self, text: str) -> Image.Image:
        font = self.font(self.size)
        left, top, right, bottom = font.getbbox(text)
        size = int(right - left) + 16, int(bottom - top) + 12
        image = Image.new("RGB", size, self.paper)
        ImageDraw.Draw(image).text((8 - left, 6 - top), text, fill=self.ink, font=font)
        return image


def fitted(image: Image.Image, height: int, width: int) -> NDArray[np.uint8]:
    """[height, width, 3] in BGR: scaled to the height, and filled up to the right."""
    across = min(width, max(1, round(image.width * height / image.height)))
    pixels = np.asarray(image.resize((across, height), Image.Resampling.BILINEAR), np.uint8)
    out = np.full((height, width, 3), PAPER, np.uint8)
    out[:, :across] = pixels[:, :, ::-1]
    return out


def as_floats(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[N, H, W, 3] -> [N, 3, H, W] in -1..1, as PaddleOCR has it."""
    scaled = (pixels.astype(np.float32) / 255 - 0.5) / 0.5
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def _text(kind: int, rng: np.random.Generator, fits) -> str:
    """Up to four words of a kind, as many as fit; a first one that does not fit is drawn again."""
    words: list[str] = []
    wanted = int(rng.integers(2, 5))
    for _ in range(40):
        word, space = _word(kind, rng)
        tried = [*words, word]
        if not fits(space.join(tried)):
            continue
        words = tried
        if len(words) == wanted:
            break
    return space.join(words)


def _word(kind: int, rng: np.random.Generator) -> tuple[str, str]:
    """A word, and what stands between two of them."""
    if kind == 0:
        number = int(rng.integers(10 ** int(rng.integers(2, 7))))
        return str(rng.choice([str(number), f"{number / 100:.2f}", f"{number:,}"])), " "
    if kind == 1:
        word = str(rng.choice(LATIN))
        return str(rng.choice([word, word.upper(), word.title(), word])), " "
    if kind == 2:
        return str(rng.choice(CHINESE)), ""
    return _word(int(rng.integers(3)), rng)[0], ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--width", type=int, default=WIDTH)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    np.savez_compressed(args.output, x=lines(args.seed, args.count, HEIGHT, args.width).pixels)


if __name__ == "__main__":
    main()
