"""From an int graph to a placed Program: which way every region runs under, and in which order.

`mcuformer.plan.fit.build` is what compile, analyze and search call.
"""
