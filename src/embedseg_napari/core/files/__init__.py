"""Reading and writing: TIFF and its metadata, and folders that one program holds at a time."""
