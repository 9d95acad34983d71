"""Reading and writing: TIFF and its metadata, files that appear only when complete, folders one program holds."""
