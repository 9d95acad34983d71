"""Sparse annotation of images: states of pixels, edits, doubt about predictions, and sessions on disk."""
