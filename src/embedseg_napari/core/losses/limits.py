"""Bounds that the two ways to compute the loss share."""

NEGLIGIBLE_PHI = 1e-4
"""Pixels outside an instance with a smaller phi are left out; they change its loss by less than 2e-4 times the share of
its members whose phi is above 1 - 1e-4."""
MAX_EXPONENT = 60.0
"""Bound on 10 s: exp(60) times the largest squared distance still fits float32, so nothing becomes NaN."""
CELLS_PER_REACH = 3
"""Cells, along each axis, in the usual reach of an instance."""
MAX_CELLS = 1 << 22
"""Of all crops together; cells are made larger until they are few enough."""
