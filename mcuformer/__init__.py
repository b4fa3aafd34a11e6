"""mcuformer: find a vision transformer that fits a microcontroller and compile it to plain C."""

__version__ = "0.1.0"
