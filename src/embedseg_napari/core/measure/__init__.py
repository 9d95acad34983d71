"""Measuring the objects of a label image: size, place, shape, neighbours and brightness, in physical units."""
