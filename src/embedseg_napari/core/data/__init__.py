"""Images with their objects: pairs, checks, statistics, centres, normalisation, generated images."""
