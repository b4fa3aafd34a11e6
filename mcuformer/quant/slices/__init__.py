"""Networks whose weights are slices of one network's: rounded once, lowered one by one (docs/adr/0013).

`match.py` finds which rows and columns of the full network each layer of a narrower one is, by
content. `blocks.py` says in which blocks the residual stream may be rotated, so that slices stay
slices. `profiles.py` gives inputs with a scale per channel one profile for all widths. `joint.py`
rounds each matrix once, for all widths that read it. `together.py` is the order of it all.
"""

from mcuformer.quant.slices.blocks import with_blocks
from mcuformer.quant.slices.match import Placed, places_of
from mcuformer.quant.slices.together import Slice, lower_together

__all__ = ["Placed", "Slice", "lower_together", "places_of", "with_blocks"]
