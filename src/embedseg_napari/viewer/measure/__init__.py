"""The panel *EmbedSeg: Measure*."""
