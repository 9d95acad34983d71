"""The panel *EmbedSeg: Train*."""
