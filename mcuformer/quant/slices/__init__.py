"""Networks whose weights are slices of one network's: rounded once, lowered one by one (docs/adr/0013).

1. `match.py` finds by content which rows and columns of the full network each layer of a narrower one
   is, up to a factor per row: files hold copies, and a row of qkv may be q in one and k in another.
2. `blocks.py` says in which blocks the residual stream may be rotated, so that slices stay slices.
3. Each width is calibrated and gets grids of its own (quant/assign.py). `profiles.py` then gives inputs
   with a scale per channel one profile for all widths, `tables.py` puts results of functions on few
   common grids, so that tables are stored once.
4. Each width is lowered for itself, and `joint.py` keeps what arrives at its layers. Each matrix is then
   rounded once, for all widths that read a part of it.
5. Each width is lowered again with its slices of these integers; biases, multipliers and grids are its
   own. `together.py` is the order of 3 to 5.
"""

from mcuformer.quant.slices.blocks import with_blocks
from mcuformer.quant.slices.match import Placed, SlicePlaces, places_of, stacks_of
from mcuformer.quant.slices.together import Slice, lower_together

__all__ = [
    "Placed",
    "Slice",
    "SlicePlaces",
    "lower_together",
    "places_of",
    "stacks_of",
    "with_blocks",
]
