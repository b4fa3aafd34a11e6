"""Executed instructions of the convolutions on Cortex-M7, fitted to counts in Unicorn."""

from __future__ import annotations

from dataclasses import dataclass

from mcuformer.ir.graph import Op
from mcuformer.ir.types import DTYPES
from mcuformer.kernels import linear_cost as cost
from mcuformer.kernels.shapes import Values, constant, round4

PAIR_3X9 = 159  # of two patches of 3x3 pixels of 3 bytes
PAIR_OF_LINES, LINE = 63, 60  # of two patches whose kernel rows need no copy
PATCH_COPY, COPY_LINE, COPY_BYTE = 70, 33, 1.8  # of a patch gathered as bytes
# Of a group; of its two patches that need no copy.
GROUP, PAIR_OF_PIECES, GATHERED_PIECE = 150, 68, 61
GROUP_COPY, GROUP_LINE, GROUP_TAP = 58, 40, 22  # of a group of a patch gathered as bytes
TAP_WORDS, TAP_WORD, TAP_BYTE = 13, 4, 4
EDGE = 1.3  # times dearer at the border of the image
DW_PAIR, DW_TAP, DW_LINE, DW_ODD, DW_GROUP = 60, 11, 18, 90, 250
DW_COLUMN, DW_STRIP_LINE = 4.75, 45
DW_PLAIN_TAP, DW_PLAIN = 43, 60  # of an output where mcf_dot has no loop or finish


@dataclass(frozen=True, slots=True)
class ConvShape:
    """Geometry of a call: `lines` output lines of `width` pixels."""

    lines: int
    width: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    image: tuple[int, int, int]
    item: int
    groups: int

    @staticmethod
    def of(op: Op, graph: Values, lines: int, width: int) -> ConvShape:
        x = graph.type(str(op.inputs[0]))
        h, w, c = x.shape
        pads = tuple(op.attrs.get("pads", (0, 0, 0, 0)))
        return ConvShape(
            lines, width, tuple(op.attrs["kernel"]), tuple(op.attrs["strides"]),
            pads, (h, w, c), DTYPES[x.dtype].itemsize, op.attrs.get("groups", 1),
        )  # fmt: skip

    def edge_share(self) -> float:
        """Share of the output pixels whose patches reach beyond the image."""
        share = 1.0
        for axis in (0, 1):
            total = (self.image[axis] + self.pads[axis] + self.pads[axis + 2]) - self.kernel[axis]
            total = total // self.strides[axis] + 1
            first = -(-self.pads[axis] // self.strides[axis])
            room = self.image[axis] - self.kernel[axis] + self.pads[axis]
            inside = max(0, room // self.strides[axis] + 1 - first)
            share *= min(1.0, inside / max(1, total))
        return 1.0 - share


def conv2d(op: Op, graph: Values, shape: ConvShape, core: Op, panel: int, tile: int) -> int:
    """`core`: the layer over patches."""
    pixels, groups = shape.lines * shape.width, shape.groups
    n, k = constant(graph, op.inputs[1]).shape
    n //= groups
    work = cost.Work(pixels, n, round4(k), 1, round4(k))
    panels = -(-n // panel) if panel and pixels > 2 else 1
    multiply = cost.instructions(core, graph, work, panel, tile, sums=False)
    loads = (pixels + 1) // 2 * (1 if pixels <= tile else panels)
    again = (pixels + 1) // 2 * panels
    loaded = _load_pair(shape, k) if groups == 1 else GROUP / again + _load_group(shape, k)
    return groups * int(multiply - loads * cost.load(core, graph, work) + again * loaded)


def _load_group(shape: ConvShape, k: int) -> float:
    """One group of two patches to 16 bits."""
    kh, taps = shape.kernel[0], shape.kernel[0] * shape.kernel[1]
    piece = k // taps
    words, rest = divmod(piece * shape.item, 4)
    tap = GROUP_TAP + (TAP_WORDS if words else 0) + TAP_WORD * words + TAP_BYTE * rest
    gathered = 2 * (GROUP_COPY + kh * GROUP_LINE + taps * tap) + _widen(round4(k), shape.item)
    if piece % 4:
        return gathered
    edge = min(1.0, 1.5 * shape.edge_share())
    inner = PAIR_OF_PIECES + taps * (GATHERED_PIECE + _widen(piece, shape.item))
    return edge * gathered + (1 - edge) * inner


def _load_pair(shape: ConvShape, k: int) -> float:
    """Two patches to 16 bits."""
    kh, line = shape.kernel[0], shape.kernel[1] * shape.image[2]
    gathered = 2 * (PATCH_COPY + kh * (COPY_LINE + COPY_BYTE * line * shape.item)) + 27
    gathered += _widen(round4(k), shape.item)
    inner = gathered
    if kh == 3 and line == 9 and shape.item == 1:
        inner = PAIR_3X9
    elif line % 4 == 0:
        inner = PAIR_OF_LINES + kh * (LINE + _widen(line, shape.item))
    edge = min(1.0, 1.5 * shape.edge_share())
    return edge * EDGE * gathered + (1 - edge) * inner


def _widen(count: int, item: int) -> int:
    return 24 * (count // 16) + 9 * (count // 4 % 4) if item == 1 else 11 * (count // 4)


def dwconv2d(op: Op, graph: Values, shape: ConvShape, core: Op, band: int) -> int:
    n, taps = constant(graph, op.inputs[1]).shape
    whole, rest = divmod(n, 4)
    extra = cost.finish(core, graph)
    plain = shape.lines * shape.width * (DW_PLAIN_TAP * taps + DW_PLAIN)
    if extra >= cost.PLAIN_C or shape.strides[1] > 2 or shape.kernel[1] > 8:
        return plain * n
    small = shape.kernel == (3, 3)
    rows = (4 if shape.strides[1] == 2 else -2) if small else 6 * shape.kernel[0]
    pair = DW_PAIR + rows + DW_TAP * taps + extra
    line = DW_LINE + shape.width // 2 * pair + shape.width % 2 * (pair + DW_ODD)
    kh, kw = shape.kernel
    columns = (shape.width - 1) * shape.strides[1] + kw
    bands = -(-shape.lines // band)
    strip_lines = (shape.lines - bands) * shape.strides[0] + bands * kh
    strip = strip_lines * (DW_COLUMN * columns + DW_STRIP_LINE)
    return int(whole * (DW_GROUP + shape.lines * line + strip) + rest * plain)
