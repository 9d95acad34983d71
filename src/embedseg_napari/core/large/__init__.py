"""Images larger than memory: blocks that find the same objects on both sides of their borders."""
