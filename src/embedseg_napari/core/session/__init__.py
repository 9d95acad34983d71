"""A folder in which labelling goes on: images, labels, states and models."""
