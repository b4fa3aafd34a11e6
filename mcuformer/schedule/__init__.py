"""From an int graph to a Program: which schedule every block runs under, and in which order.

`mcuformer.schedule.run.build` is what compile, analyze and search call. It is not imported here:
memory/ reads `schedule.program`, and `run` calls memory/.
"""
