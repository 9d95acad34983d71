"""The panel *EmbedSeg: Estimate*."""
