"""The science: data, networks, loss, training, prediction and evaluation, without Qt and napari."""
