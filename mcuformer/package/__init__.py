"""A compiled package on disk: what it holds, and how it is run.

`compile` leaves a folder of C, and beside it what another program needs to understand it: report.json, the
board's file, and graph.npz, the integer graph whose interpretation the C equals bit for bit, with the meaning
of every trace in its meta. `compiled.py` opens the folder and refuses one that lacks a part.

`execution.py` runs it for `run`, `validate` and the check of compile: samples as device bytes into one of
the emulators, outputs and counts back. It takes the package's own ELF where that will do, and
builds another (traced, for QEMU, for this machine) where not. `outputs.py` says what the bytes of each
output mean, in integers and in reals. Who compares them with what stands above: `proof`, `validate`.
"""
