"""From a placed program to the C that an engineer drops into a project.

The program has decided everything: which kernel, with which arguments, on which bytes. So printing is
punctuation. `symbols.py` names what a model brings (no name out of a file reaches C as it is: ADR 0007);
`constants.py` packs every operation's constants as its kernel wants them, arrays of little-endian
words and one const struct; `calls.py` prints a call, its addresses as offsets of named buffers plus
what the loop variables add; `lines.py` breaks lines where clang-format would. `model_c.py` puts them
into model.c, weights.c and their headers; `interface.py` says what the header tells of each input and
output, `labels.py` of classes. `package.py` writes the whole folder with the runtime (`runtime.py`: all
kernels, so that any two models share one), the port (`targets/port.py`) and build files.

Templates hold text and loops, no decisions (`render.py`). The id of a model is the hash of its C.
"""
