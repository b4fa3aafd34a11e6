"""Comparing compiled code with labels, the float model and the integer interpreter.

`run.py` is `mcuformer validate`: samples go as integers to what runs them (`device.py`: an emulator, or a
board on a serial port), as floats to onnxruntime without optimisations (`reference.py`), and some of them
to the interpreter, whose bits the device must give. `metrics.py` says how far integers are from floats
(SQNR, cosine, agreement of the largest), `compare.py` what that means for each output and for all,
`verdict.py` what of it makes the command fail.

`per_layer.py` asks for more: every layer's rows from a traced build, the first layer whose bits differ, and
the SQNR of every layer against the float graph (`layers.py`): where quantisation hurts.
"""
