"""Label images on the disk that are written block by block."""
