"""Real images from a public collection: fetched once, checked against a known sum, kept in the user's cache."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.atomic import write_atomically
from embedseg_napari.core.files.tiff import read_image
from embedseg_napari.viewer.file_metadata import axis_labels, axis_scale, axis_units
from embedseg_napari.viewer.layers import CHANNEL_NAMES

if TYPE_CHECKING:
    from embedseg_napari.viewer.files.image_files import LayerData

TIMEOUT = 15.0
"""Seconds without an answer after which the network counts as missing."""
BLOCK = 1 << 18
COLLECTION = "https://gitlab.com/scikit-image/data/-/raw/2cdc5ce89b334d28f06a58c9f0ca21aa6992a5ba/"


@dataclass(frozen=True, slots=True)
class PublicSample:
    """A file on the network and what it shows."""

    name: str
    url: str
    sha256: str
    """As listed in scikit-image 0.26, ``skimage/data/_registry.py``."""
    axes: str
    spacing: tuple[float, ...] | None = None
    """Micrometres per spatial axis (z, y, x)."""
    channel_names: tuple[str, ...] = ()


MITOSIS = PublicSample(
    "human mitosis",
    COLLECTION + "AS_09125_050116030001_D03f00d0.tif",
    "2751ba667c4067c5d30817cff004aa06f6f6287f1cdbb5b8c9c6a500308cb456",
    "YX",
)
"""Nuclei of human HT29 cells (D. Root, Moffat et al., Cell 2006), the `human_mitosis` of scikit-image; CC0."""
CELLS = PublicSample(
    "cells 3D",
    COLLECTION + "cells3d.tif",
    "afc7c7d80d38bfde09788b4064ac1e64ec14e88454ab785ebdc8dbba5ca3b222",
    "ZCYX",
    (0.29, 0.26, 0.26),
    ("membrane", "nuclei"),
)
"""Membranes and nuclei of human cells (Allen Institute for Cell Science), the `cells3d` of scikit-image, whose makers
give its licence as CC0."""


def human_mitosis() -> list[LayerData]:
    """Return an image of human nuclei, some dividing; fetched at the first use."""
    return open_sample(MITOSIS)


def human_cells_3d() -> list[LayerData]:
    """Return a volume of human cells with membranes and nuclei; fetched at the first use."""
    return open_sample(CELLS)


def open_sample(sample: PublicSample) -> list[LayerData]:
    """Return the layer of a public sample.

    Raises
    ------
    DataError
        If the file is not here yet and cannot be fetched, or is not the one that was expected.
    """
    picture = read_image(fetch(sample), sample.axes)
    options = {
        "name": sample.name,
        "scale": axis_scale(sample.axes, sample.spacing),
        "units": axis_units(sample.axes, None if sample.spacing is None else "um"),
        "axis_labels": axis_labels(sample.axes),
        "metadata": {CHANNEL_NAMES: list(sample.channel_names)} if sample.channel_names else {},
    }
    return [(picture.array, options, "image")]


def fetch(sample: PublicSample) -> Path:
    """Return the local file of a sample, fetching it if it is not there; see `open_sample`."""
    target = Path(platformdirs.user_cache_dir("embedseg-napari", appauthor=False)) / "samples" / f"{sample.sha256}.tif"
    if target.is_file() and hashlib.sha256(target.read_bytes()).hexdigest() == sample.sha256:
        return target
    content = bytearray()
    try:
        with urllib.request.urlopen(sample.url, timeout=TIMEOUT) as answer:
            while block := answer.read(BLOCK):
                content += block
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        reason = getattr(reason, "strerror", None) or reason
        host = urllib.parse.urlsplit(sample.url).hostname or sample.url
        # What matters comes first: napari's notifications begin with about forty letters.
        raise DataError(
            f"No download from {host} ({reason}) of the sample {sample.name!r}; connect to the network and try again, "
            "or open a generated sample, which needs none."
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sample.sha256:
        raise DataError(
            f"Sample {sample.name!r} from {sample.url} is not the file that was expected (SHA-256 {found}); it was "
            "deleted. Open a generated sample instead."
        )
    write_atomically(target, lambda file: file.write_bytes(content))
    return target
