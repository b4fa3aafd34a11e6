"""python -m mcuformer"""

from mcuformer.cli import main

main()
