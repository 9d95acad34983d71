"""The layers that are annotated, and what draws on them: the brush, strokes and clicks."""
