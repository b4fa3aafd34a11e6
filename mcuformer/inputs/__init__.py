"""Real inputs from disk, and their way into the network.

`dataset.py` opens what a user has: a folder of images (`images.py`, one folder per class), an .npz or .npy
(`arrays.py` says which array belongs to which input, and which are labels). Arrays stay in their files:
sizes are read first, samples when they are asked for (`stored.py`), so a file larger than memory is
no trouble. `sample.py` reads the one sample of `mcuformer run`.

A sample has two forms, and `codec.py` knows both: the float inputs of the ONNX file, and the integers
that the firmware gets, raw pixels or values on the input's grid.

Wrong data quantise without a word and ruin a model. `doubts.py` looks at samples before they are used: what
cannot be right is refused, what is doubtful becomes a diagnostic of the report.
"""
