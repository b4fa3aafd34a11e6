"""Files and folders: written whole or not at all.

`atomic.py` makes a folder or a file beside its goal and moves it there at the end, so that a full disk, a
crash or Ctrl-C leaves what was there before. `leftovers.py` removes what a killed run left. `kept.py` reads
what we wrote earlier and someone may have damaged since: it is read whole, or refused by name.
`paths.py` knows where runtime, templates and boards lie, in a checkout and in a wheel.
"""
