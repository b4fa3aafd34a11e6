"""A compiled package on disk: what it holds, and how it is run.

`compiled.py` opens the folder that `compile` wrote: its report, its int graph with the meaning of every
trace, its board. `outputs.py` says what the bytes of each output mean. `execution.py` runs it: samples as
device bytes into one of the emulators, outputs and counts back; it takes the package's own ELF where
that will do, and builds another (traced, for QEMU, for this machine) where not.
"""
