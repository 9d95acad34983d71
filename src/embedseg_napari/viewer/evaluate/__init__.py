"""The panel *EmbedSeg: Evaluate*."""
