"""Where the bytes of a program's buffers lie, and the proof that none is lost.

`lifetimes.py` walks the program once and says of every buffer which of its bytes matter at which call
(`spans.py` compares spans under loops). `conflicts.py` makes of two lifetimes that meet a gap that
the two offsets must keep, and the least bytes that any placement needs. `placement.plan` then places:
in one arena part by part (`parts.py`, `shelf.py`, `order_search.py`), in several by greedy packing and
a local search over the order (`packing.py`). Buffers that ask for tightly coupled memory (`hint`
"fast": scratch) are moved down into it where that costs no byte. `model.py` holds what comes out.

Two judges share no code with this. `check.py` walks all executions backwards and keeps which buffer
needs each byte; every compile runs it. `simulate.py` replays them forwards and stamps each byte that
is written; the tests run it, also on plans that they broke.

This floor knows `program/` alone: not why a program is as it is.
"""
