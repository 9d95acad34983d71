"""What the OME metadata of a TIFF promises, and which of the planes it names lie in the file itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedseg_napari.core.files.metadata import parse_ome
from embedseg_napari.core.files.picture import Unlike

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    import tifffile


@dataclass(frozen=True, slots=True)
class OwnPlanes:
    """Planes of an image in several files that lie in one of them."""

    image: int
    """Which image of the metadata they belong to, counted from 0."""
    pages: tuple[int, ...]
    """Pages of the file, in the order of the axes."""
    axes: str
    """Axes that count the planes, slowest first; I if the planes fill no block of them."""
    shape: tuple[int, ...]


def broken_promise(tif: tifffile.TiffFile) -> str | None:
    """How the OME metadata of a file contradicts what it holds; None where it does not, or there is none.

    It is looked at before the library makes lists of all planes that are promised, which a few bytes make endless.
    """
    _, images = _described(tif)
    if len(_files_of(images)) > 1:
        return None
    page, promised = tif.pages.first, 0
    for pixels in images:
        try:
            z, c, t, y, x = (int(pixels.attrib[f"Size{letter}"]) for letter in "ZCTYX")
            entries = pixels.findall("{*}TiffData")
            listed = [int(one.get("PlaneCount") or one.get("NumPlanes") or 1) for one in entries]
            samples = _samples(pixels)
        except (KeyError, ValueError) as error:
            return f"its OME metadata cannot be understood ({error})"
        if min(z, c, t, y, x, samples, *listed) < 1:
            return "its OME metadata speaks of an image without pixels"
        if len(images) == 1 and (page.imagelength, page.imagewidth) != (y, x):
            has = f"{page.imagelength} x {page.imagewidth}"
            return f"its OME metadata promises planes of {y} x {x} pixels, but the file holds some of {has}"
        n_planes = z * t * max(c // samples, 1)
        if all("IFD" in one.attrib for one in entries) and 0 < sum(listed) < n_planes:
            return f"its OME metadata promises {n_planes} planes, but says of {sum(listed)} only where they are"
        promised += max(n_planes, sum(listed))
    n_pages = len(tif.pages)
    if promised > n_pages:
        return f"its OME metadata promises {promised} planes, but the file holds {n_pages}"
    return None


def own_planes(tif: tifffile.TiffFile) -> list[OwnPlanes] | None:
    """The images, or parts of them, that lie in this file; None where its metadata names no other.

    An image in several files is read file by file, each as the part that it holds: the whole from each of them would be
    one image many times.
    """
    root, images = _described(tif)
    files = _files_of(images)
    if root is None or files <= {tif.filename}:
        return None
    found = []
    for index, pixels in enumerate(images):
        order = "".join(letter for letter in pixels.get("DimensionOrder", "XYZCT") if letter in "ZCT")
        counts = {letter: int(pixels.get(f"Size{letter}") or 1) for letter in order}
        counts["C"] = max(counts.get("C", 1) // _samples(pixels), 1)
        planes: dict[int, int] = {}
        for data in pixels.findall("{*}TiffData"):
            uuid = data.find("{*}UUID")
            # The only file that is named is this one, even if it has another name by now.
            is_own = uuid is None or len(files) == 1 or uuid.get("FileName") == tif.filename
            if is_own or (uuid is not None and uuid.text == root.get("UUID")):
                planes |= _pages_of(data, order, counts, len(tif.pages))
        if planes:
            found.append(_block(index, planes, order, counts))
    return found


def leads_elsewhere(tif: tifffile.TiffFile) -> bool:
    """Whether its metadata names other files, in which the library would look for planes, and make lists of these."""
    root, images = _described(tif)
    files = _files_of(images)
    if root is None or files <= {tif.filename}:
        return False
    # A file that was given another name is known by its number.
    return len(files) > 1 or any(uuid.text != root.get("UUID") for uuid in _uuids_of(images))


def _described(tif: tifffile.TiffFile) -> tuple[Element | None, list[Element]]:
    """The OME metadata of a file, and the images in it; what is not read here is not left to the library to read."""
    root = parse_ome(tif.ome_metadata or "") if tif.is_ome else None
    if root is None:
        tif.is_ome = False
        return None, []
    return root, root.findall(".//{*}Pixels")


def _pages_of(data: Element, order: str, counts: dict[str, int], n_pages: int) -> dict[int, int]:
    """Planes of one entry: their number in the order of the image -> page of the file."""
    start, step, first = 0, 1, int(data.get("IFD") or 0)
    for letter in order:
        start += step * int(data.get(f"First{letter}") or 0)
        step *= counts[letter]
    rest = 1 if "IFD" in data.attrib else n_pages - first
    count = int(data.get("PlaneCount") or data.get("NumPlanes") or rest)
    if not 0 <= first <= first + count <= n_pages or not 0 <= start <= start + count <= step:
        raise Unlike(f"its OME metadata promises page {first + count}, but the file holds {n_pages}")
    return {start + number: first + number for number in range(count)}


def _block(image: int, planes: dict[int, int], order: str, counts: dict[str, int]) -> OwnPlanes:
    at, step, own = sorted(planes), 1, {}
    for letter in order:
        own[letter] = len({place // step % counts[letter] for place in at})
        step *= counts[letter]
    pages = tuple(planes[place] for place in at)
    if math.prod(own.values()) != len(at):
        return OwnPlanes(image, pages, "I", (len(at),))
    axes = "".join(letter for letter in reversed(order) if own[letter] > 1)
    return OwnPlanes(image, pages, axes, tuple(own[letter] for letter in axes))


def _files_of(images: list[Element]) -> set[str]:
    """Names of the files that images say they lie in; empty where they name none."""
    return {str(uuid.get("FileName")) for uuid in _uuids_of(images) if uuid.get("FileName")}


def _uuids_of(images: list[Element]) -> list[Element]:
    return [uuid for pixels in images for uuid in pixels.findall("{*}TiffData/{*}UUID")]


def _samples(pixels: Element) -> int:
    """Samples that lie together in each pixel, as red, green and blue do."""
    channel = pixels.find("{*}Channel")
    return 1 if channel is None else int(channel.get("SamplesPerPixel") or 1)
