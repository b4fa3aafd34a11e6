"""Small things that every room needs and that know nothing of models.

`names.py` makes names out of a file harmless for C, paths and terminals; `sizes.py` reads sizes, counts and
lists of numbers as people write them; `progress.py` is what a long command says meanwhile;
`interrupts.py` lets Ctrl-C, SIGTERM and SIGHUP unwind the stack alike; `speed.py` is the one door for what
planning thousands of networks needs to be fast (ADR 0011).
"""
