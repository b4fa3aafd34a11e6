"""From an ONNX file to a checked package.

`stages.py` is the whole story in one list. The file and the board are read once (`source.py`). Its
nodes become the canonical float graph (`frontend`, `passes`). Calibration samples say which range every
value has, and which want 16 bits; then layers become integers (`quantise.py` says with which data and which
input format; `quant` does it). The integer graph is scheduled, and its buffers are placed into what the board's SRAM
has beside stack and static data (`placed.py`); a model that does not fit ends there, with the block at
the peak, the bytes missing and the nearest option that fits (`misfit.py`, `flash_room.py`). What is
placed is printed as C, and linked (`emitted.py`). At the end the very code is run and compared with the
interpreter and with the ONNX file (`proof`).

All that is known on the way is collected in one record, `Figures`, of which `figures.py` makes the report.
With --save-temps each stage leaves what it made as text (`temps.py`).
"""
