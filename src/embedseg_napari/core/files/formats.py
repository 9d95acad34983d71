"""Images that are no TIFF: pictures that every computer knows, and what further packages read if they are installed."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.brightness import is_opaque, painted_with
from embedseg_napari.core.files.metadata import Metadata
from embedseg_napari.core.files.picture import TIFF, Pixels, Unlike, fault_of_place
from embedseg_napari.core.files.zarr_image import has_documents

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".ppm", ".pnm", ".webp", ".jp2", ".tga")
"""Endings that Pillow reads."""
BIOIO = {
    ".czi": "bioio-czi",
    ".nd2": "bioio-nd2",
    ".lif": "bioio-lif",
    ".dv": "bioio-dv",
    ".sld": "bioio-sldy",
    ".sldy": "bioio-sldy",
    **dict.fromkeys((".ims", ".oib", ".oif", ".vsi", ".ics", ".ids", ".lei", ".zvi", ".mvd2"), "bioio-bioformats"),
}
"""Endings of microscopes' own formats, and the package by which bioio reads each."""
# fmt: off
FOREIGN = (
    ".zarr", ".svs", ".ndpi", ".scn", ".mrxs", ".h5", ".hdf5", ".n5", ".mrc", ".nrrd", ".mha", ".nii", ".dcm", ".klb",
    ".npy", ".npz", ".avi", ".mp4", ".mov", ".heic", ".avif", ".psd", ".svg", ".eps",
)
# fmt: on
"""Further endings of images, which are told from files that hold none."""
LARGEST_EXPANSION = 2000
"""How many bytes of pixels a byte of a compressed picture can hold."""
SMALL = 1 << 26


@cache
def readable() -> tuple[str, ...]:
    """Endings of files that can be read here."""
    packages = {package for package in BIOIO.values() if _is_installed(package)}
    return (*TIFF, *PICTURES, *(ending for ending, package in BIOIO.items() if package in packages))


def _is_installed(package: str) -> bool:
    return find_spec("bioio") is not None and find_spec(package.replace("-", "_")) is not None


def way_out(ending: str) -> str:
    """What to do with a file of an ending that cannot be read, in words that follow its name."""
    if ending in BIOIO:
        return f"{ending} files are read with a further package; install it with: pip install bioio {BIOIO[ending]}"
    return "not an image that can be read here; save it as .tif, for example with Fiji"


def left_out(folder: Path) -> dict[Path, str]:
    """Files of a folder that are images by their names but cannot be read, and why; hidden ones do not count."""
    found = {}
    for path in sorted(folder.iterdir()):
        ending = path.suffix.lower()
        if path.name.startswith(".") or ending not in (*readable(), *BIOIO, *FOREIGN):
            continue
        if ending == ".zarr" and has_documents(path):
            continue
        if ending not in readable():
            found[path] = way_out(ending)
        elif (fault := fault_of_place(path)) is not None:
            found[path] = fault
    return found


def read_other(path: Path, labels: bool, say: Callable[[str], None]) -> Pixels:
    """Read a file that is no TIFF.

    Parameters
    ----------
    path : Path
        The file.
    labels : bool
        Whether its pixels are numbers of objects.
    say : callable
        Takes what was assumed and left out.

    Raises
    ------
    DataError
        If nothing that is installed reads it; libraries have errors of their own for damaged files.
    """
    ending = path.suffix.lower()
    if ending in PICTURES:
        return _read_picture(path, labels, say)
    if ending in BIOIO and ending in readable():
        return _read_bioio(path, say)
    return _read_imageio(path)


def _read_picture(path: Path, labels: bool, say: Callable[[str], None]) -> Pixels:
    from PIL import Image

    with Image.open(path) as picture:
        n_frames, mode = getattr(picture, "n_frames", 1), picture.mode
        n_bytes = picture.width * picture.height * len(picture.getbands()) * n_frames
        if n_bytes > max(LARGEST_EXPANSION * path.stat().st_size, SMALL):
            raise Unlike(f"it claims {n_bytes} bytes of pixels, which its {path.stat().st_size} bytes cannot hold")
        if n_frames > 1:
            array = _frames(picture, n_frames)
            is_colour = array.ndim > 3
            if is_colour and mode == "P":
                say("its colours are read as red, green and blue")
        elif mode == "P":
            palette = np.asarray(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
            array = np.array(picture)
            array, is_colour = (array, False) if labels else painted_with(array, palette, say)
        else:
            is_png = picture.format == "PNG" and mode in ("RGB", "RGBA", "LA")
            array = _png_colours(path) if is_png else np.array(picture)
            is_colour = mode != "LA" and not _is_grey(mode)
            if mode == "LA" or (mode == "RGBA" and (array[..., 3] == array[..., 3].max()).all()):
                # What can be seen through is no part of a picture.
                array = array[..., :-1] if mode == "RGBA" else array[..., 0]
    return Pixels(array, "I" * (n_frames > 1) + "YX" + "S" * is_colour, Metadata(), is_colour)


def _is_grey(mode: str) -> bool:
    return mode in ("1", "L", "I", "F") or mode.startswith("I;")


def _frames(picture: Any, n: int) -> np.ndarray:
    """Frames in the colours that are seen, or grey where all are: each may have a palette of its own, or none."""
    frames = []
    for index in range(n):
        picture.seek(index)
        picture.load()
        frame = np.array(picture if _is_grey(picture.mode) else picture.convert("RGB"))
        frames.append(frame[..., 0] if frame.ndim > 2 and (frame == frame[..., :1]).all() else frame)
    if any(frame.ndim > 2 for frame in frames):
        frames = [frame if frame.ndim > 2 else np.stack([frame] * 3, axis=-1) for frame in frames]
    return np.stack(frames)


def _png_colours(path: Path) -> np.ndarray:
    """The pixels of a PNG in colour as they are stored; Pillow halves the bits of those that have 16."""
    import imagecodecs

    array: np.ndarray = imagecodecs.png_decode(path.read_bytes())
    return array


def _read_bioio(path: Path, say: Callable[[str], None]) -> Pixels:
    from bioio import BioImage

    image = BioImage(path)
    if len(image.scenes) > 1:
        say(f"holds {len(image.scenes)} scenes; the first, {image.current_scene}, is read. Export the others as files")
    axes, array = image.dims.order, np.asarray(image.data)
    kept = [index for index, n in enumerate(array.shape) if n > 1 or axes[index] in "YX"]
    sizes = image.physical_pixel_sizes
    steps = None if not sizes.Y or not sizes.X else (sizes.Z, float(sizes.Y), float(sizes.X))
    interval = image.time_interval.total_seconds() if getattr(image, "time_interval", None) else None
    letters = "".join(axes[index] for index in kept)
    metadata = Metadata(steps, "um" if steps else None, tuple(map(str, image.channel_names or ())), interval)
    return Pixels(array.reshape([array.shape[index] for index in kept]), letters, metadata, "S" in letters)


def _read_imageio(path: Path) -> Pixels:
    """Read a file of a known ending with whatever imageio finds a plugin for."""
    import imageio.v3
    from imageio.config import known_extensions

    ending = path.suffix.lower()
    if ending not in known_extensions:
        raise DataError(f"{path}: {way_out(ending)}.")
    try:
        array = np.asarray(imageio.v3.imread(path))
    except Exception as error:
        # Each of its plugins has errors of its own for what it does not know.
        raise DataError(f"{path}: {way_out(ending)}.") from error
    is_colour = array.ndim > 2 and array.shape[-1] in (3, 4)
    if is_colour and array.shape[-1] == 4 and is_opaque(array[..., 3]):
        array = array[..., :3]
    return Pixels(array, "I" * (array.ndim - 2 - is_colour) + "YX" + "S" * is_colour, Metadata(), is_colour)
