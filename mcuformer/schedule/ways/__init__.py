"""The ways to run a region: each a function of (emitter, region, target, choice), one file per way.

A way writes tasks that end with the region's target rows. All are bit-identical to the op-by-op
graph except `absorbed`, which quant/absorb.py rewrites into a graph of its own.

    rows.py       row-wise operations in tiles of rows; backwards, where they widen over what they read
    kept.py       attention, K and V of all heads exist whole; ring.py: of near heads a few lines of them
    heads.py      attention, one head's K and V at a time
    absorbed.py   attention against the tokens themselves, no K and no V
    windows.py    attention inside windows of rows, all of a window at once
    window_tiles.py   the same with a window's queries in tiles
    window_map.py   windows that are padded and cropped again, from and to the rows of the stream
    conv.py       convolutions, pools and the row-wise operations between them, a strip of lines at a
                  time (flow.py says who reads what, strips.py which lines, windows_of_lines.py where
                  they lie, over.py whether the target may lie over an input)
    over_image.py     a depthwise convolution over its whole image, four channels at a time
    modulate.py   focal modulation with whole images; channel_tiles.py: some channels at a time;
                  sweeps.py: strips of lines, once for the mean and once for the rows, in place
    embed.py      patches of an image that never exists whole
    patch_rows.py     patches of tokens: sub-sampled keys, merging in place
    mean.py, gather.py, join.py   means over tokens, rows by index, joined values and moves

sides.py cuts an attention region into what makes q, k and v and what follows, and a layer into
heads. A new way is a file here and an entry in `schedule/build.py`; what it costs follows from its
tasks.
"""
