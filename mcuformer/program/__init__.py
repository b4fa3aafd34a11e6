"""What a placed program consists of: the ground that scheduler, planner, proofs and printer share.

A `Program` is a list of steps. A step is a `Call` of a kernel or a `Loop` over tiles of rows with
steps inside. A call says which bytes it reads, writes and uses as scratch, each a `Span`: so many
pieces of so many bytes, a stride apart, from some byte of a `Buffer` on. Where a span lies under a
loop is an `Expr`, affine in the loop's variable, so that a loop is judged by its corners and never
has to be unrolled.

    expressions.py   const + sum(coefficient * loop variable)
    buffers.py       buffers, spans of their bytes, arguments of C functions
    calls.py         calls, what each computes, loops
    running.py       regions in their order, and what lies where while one runs: for pictures
    program.py       the whole: layers, constant structs, inputs, outputs, the order of execution

schedule/ writes programs. memory/ gives their buffers addresses, and proves it by replaying every
execution; price/ reads what the calls compute; codegen/ prints them. Nothing else in the project
knows in which order a network runs.
"""
