"""A folder of images: what is to be done, what is there already, labels, maps, report."""
