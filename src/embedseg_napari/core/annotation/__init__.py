"""Sparse annotation of an image: states of pixels, strokes, edits, filling between planes."""
