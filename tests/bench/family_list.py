"""The models of family_table.py and their ceilings: read by it, and by the child that exports; needs no package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples" / "families"
BOARDS = HERE / "boards"


@dataclass(frozen=True)
class Model:
    """`stream`: bytes of the residual stream of the largest stage. `ceiling`, `stretch`: of
    sram_total_bytes. `made_by`: the file of examples/families and its arguments; none: timm makes it.
    `lines`: its maps leave by lines."""

    name: str
    stream: int
    ceiling: int
    stretch: int | None = None
    make: str = ""
    size: int = 224
    board: str = "f746_64m"
    made_by: tuple[str, ...] = ()
    lines: bool = False


MODELS = (
    Model("twins_svt_small", 200_704, 225_280),
    Model("twins_pcpvt_small", 200_704, 229_376),
    Model("swin_tiny_patch4_window7_224", 301_056, 323_584),
    Model("swin_s3_tiny_224", 301_056, 323_584),
    Model("focalnet_tiny_srf_192", 221_184, 286_720, make="focalnet_tiny_srf", size=192),
    Model("focalnet_tiny_srf", 301_056, 385_024, board="h743_64m"),
    Model("focalnet_iso_tiny", 37_632, 94_208, 90_112, made_by=("focalnet.py",)),
    Model(
        "hrformer_keypoints", 55_296, 212_992, 184_320,
        made_by=("hrformer.py", "--task", "keypoints", "--size", "256x192"), lines=True,
    ),
    Model(
        "hrformer_classes", 56_448, 221_184, 204_800,
        made_by=("hrformer.py", "--task", "classes", "--size", "224x224"),
    ),
    Model("pvt_v2_b0", 100_352, 155_648, 131_072),
    Model("mobilevit_xxs", 98_304, 163_840, size=256),
    Model("mobilenetv2_100", 75_264, 143_360, 131_072),
)  # fmt: skip


def chosen(names: list[str]) -> list[Model]:
    """Those whose name has one of `names` in it; all of them without any."""
    return [m for m in MODELS if not names or any(n in m.name for n in names)]
