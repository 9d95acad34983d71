"""Images larger than memory in the viewer: segmented into a store, tried out in view, corrected in parts."""
