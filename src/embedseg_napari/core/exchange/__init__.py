"""Objects as other programs take and give them: outlines, meshes, run lengths and movies of label images."""
