"""Opening and saving in napari: readers, writers, samples, folders of data sets."""
