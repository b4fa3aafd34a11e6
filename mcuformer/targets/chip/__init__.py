"""A board's chip around Unicorn: fake peripherals, strict where a real chip would hang, fault or run wrongly.

Unicorn executes the core's instructions and nothing else. `machine.py` gives it the board's memory map
and a serial port that ends in Python (`usart.py`); `chip.py` finds a peripheral, a bank of registers
(`registers.py`), by its address. The very ELF that is flashed runs here, start-up code and all.

A clock that a real chip would not survive is an error (`clocks.py`: supply, PLL factors, wait states), a QSPI
flash cannot be read before it is mapped rightly (`quadspi.py`), what the memory protection unit forbids faults
(`mpu_model.py`, `ppb.py`). `counter.py` counts executed instructions by basic block, in C where a host
compiler is. `engine.py` holds the few calls of Unicorn that are used, typed, and brings Ctrl-C through them.
"""
