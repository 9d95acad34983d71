"""Segmenting images larger than memory: plan, work on blocks, finish."""
