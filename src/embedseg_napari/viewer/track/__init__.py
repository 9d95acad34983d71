"""The panel *EmbedSeg: Track*."""
