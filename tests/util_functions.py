"""A number for every parameter that a unary function may have."""

NUMBERS = {
    "low": -0.7,
    "high": 1.3,
    "alpha": 0.3,
    "beta": 0.4,
    "gamma": 1.2,
    "exponent": 1.5,
    "offset": -0.4,
}
