"""Files and folders: written whole or not at all.

What a command writes it writes beside its goal, under a name that holds this machine and process, and
moves it there at the end (`atomic.py`), so that a full disk, a crash or Ctrl-C leaves what was there before.
A process that is killed cannot clean up: the next one that writes to the same place removes what is left of
it, unless its process still lives (`leftovers.py`).

What is read has two origins. What we wrote earlier (checkpoints, tables of a search, graphs) someone may have
damaged since: `kept.py` reads it whole or refuses it by name, and never goes on with half. What comes with
the package (runtime, templates, boards) lies elsewhere in a wheel than in a checkout: `paths.py` knows where.
"""
