"""``python -m embedseg_napari`` is the command ``embedseg``."""

from embedseg_napari.cli import main

if __name__ == "__main__":
    main()
