"""Boards, their chips and cores, and everything that builds for them, runs on them or stands in for them.

A board is a TOML file (`board_file.py`, `board_check.py`); its chip is of a family (`families.py`: registers,
clocks, ports), its core a row of `cores.py` (compiler flags, emulators, what its kernels cost).
`clocks.py`, `pins.py`, `usarts.py` and `mpu.py` turn that into numbers for the start-up code, which `port.py`
writes beside a model: main.c, mcf_board.h, link.ld.

`toolchain.py` finds a cross compiler, `objects.py` compiles each source once under the hash of all that
went into it, `firmware.py` links, `elf.py` and `elf_checks.py` read what came out: bytes per region, and
that no heap and no libc got in. `blame.py` tells a broken compiler from broken C.

The runners take the same bytes and bring the same result (`result.py`): `unicorn_runner.py` the very ELF
on a model of the chip (`chip/`) with every instruction counted, `qemu_runner.py`, `renode_runner.py`,
`host_runner.py` the C on this machine, `serial_device.py` a real board, all through the UART protocol
(`frames.py`, `client.py`) or batch files. `flash.py` puts the firmware on a board.
"""
