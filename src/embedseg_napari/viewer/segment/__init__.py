"""The panel *EmbedSeg: Segment*."""
