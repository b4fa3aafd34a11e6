"""Where USARTs and UARTs lie and how they are switched on (RM0385, RM0090, RM0433)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usart:
    """Clock enable: `enable_bit` of the RCC register at `enable_offset`; fed by APB `bus`."""

    base: int
    bus: int
    enable_offset: int
    enable_bit: int


F4_F7: Mapping[str, Usart] = {
    "USART1": Usart(0x40011000, 2, 0x44, 4),
    "USART2": Usart(0x40004400, 1, 0x40, 17),
    "USART3": Usart(0x40004800, 1, 0x40, 18),
    "UART4": Usart(0x40004C00, 1, 0x40, 19),
    "UART5": Usart(0x40005000, 1, 0x40, 20),
    "USART6": Usart(0x40011400, 2, 0x44, 5),
    "UART7": Usart(0x40007800, 1, 0x40, 30),
    "UART8": Usart(0x40007C00, 1, 0x40, 31),
}
H7: Mapping[str, Usart] = {
    "USART1": Usart(0x40011000, 2, 0xF0, 4),
    "USART2": Usart(0x40004400, 1, 0xE8, 17),
    "USART3": Usart(0x40004800, 1, 0xE8, 18),
    "UART4": Usart(0x40004C00, 1, 0xE8, 19),
    "UART5": Usart(0x40005000, 1, 0xE8, 20),
    "USART6": Usart(0x40011400, 2, 0xF0, 5),
    "UART7": Usart(0x40007800, 1, 0xE8, 30),
    "UART8": Usart(0x40007C00, 1, 0xE8, 31),
}
