"""How a plan is made: which way every region runs, and where every byte of its buffers lies.

1. `fit.curve` takes the outline of the graph (shapes alone, so that the search knows what compile will
   choose) and makes its skeleton; where attentions can absorb weights, that graph too.
2. `options.py` emits every region in every way that is worth a thought and keeps, of all tiles and
   budgets, what no other choice beats in bytes and instructions.
3. `curve.py` sweeps a limit on live bytes. Under each limit every region takes its fastest option
   that stays below, with what lives beside it: the curve of SRAM against instructions.
4. `select.py` says which point of the curve `--optimize`, `--ram` and `--max-instructions` mean.
5. `fit.fit` emits the point's choices as a sketch (`assemble.py`, `bind.py`), of blocks that repeat
   one of each kind (`repeat.py`), and memory/ places its buffers: here an offset is decided. Where
   that does not fit after all it asks for a smaller point and places again.
6. `Fit.schedule` binds the whole program, with arguments, constants and traces, and puts every
   block's buffers where its twin's lie. The search stops before: a figure needs no program.

So a byte is decided four times: schedule/regions.py says whether a value has a buffer for all its
rows, schedule/storage.py whether that is another value's, the choice of 4. how many rows a tile and how
many channels a panel holds, and memory/placement.py where the buffer begins.

`build` is all of it. `text.py` prints what came out, `--save-temps` leaves it in stages/.
"""
