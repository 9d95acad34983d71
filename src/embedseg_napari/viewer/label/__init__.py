"""The panel *EmbedSeg: Label & Train*."""
