"""From an image to its objects: tiles, the network, advice."""
