"""Small things that every room needs and that know nothing of models.

    names.py        names out of a file made harmless for C, paths and terminals: an ONNX name is any bytes
    sizes.py        sizes, counts and lists of numbers as people write them ("320k", "0.5,0.5,0.5")
    progress.py     what a long command says meanwhile; cli/console.py shows it
    interrupts.py   Ctrl-C, SIGTERM and SIGHUP unwind the stack alike, also inside of foreign code
    speed.py        the one door for what planning thousands of networks needs to be fast (ADR 0011)

What is in here has no home of its own by subject; a helper that knows graphs, boards or files belongs to
their room. Of all packages only the errors stand below.
"""
