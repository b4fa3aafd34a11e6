"""From an int graph to the tasks of its regions: how a network could run, before anything is chosen.

First `regions.py` says which values exist whole, in a buffer of their own (residual streams, what
several operations read), and cuts the graph into regions: the operations between such values, which
run tile by tile. Then `storage.py` decides where each of these values lies: a view, a part of a
concatenation, the buffer of an input that dies (token overwriting), or a buffer of its own. This is
where most bytes are decided, and before any way is chosen: what lives between regions does not
depend on choices, so each region can be judged alone. The two make a `Skeleton` (`build.py`). Only q, k
and v are no values of their own: they belong to their attention's region, whose way decides whether K
and V exist whole.

A region runs one of the `ways/`. A way writes tasks (`tasks.py`) through the `TaskEmitter` (`emit.py`,
`state.py`), which makes buffers and knows what a kernel reads. A task says what is computed and which
bytes are touched; how much a kernel expands at a time, and every argument, is left open. price/ reads
tasks to say what a way costs under every tile and budget, and plan/bind.py makes calls of them.

    places.py    where rows lie: `Loc`, and which rows a task works on: `Rows`
    columns.py   a layer restricted to some of its output's channels: one head's share
"""
