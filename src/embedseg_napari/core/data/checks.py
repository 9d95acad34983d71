"""Faults of annotated images that would spoil a training, looked for before it starts."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from embedseg_napari.core.config import MAX_CHANNELS
from embedseg_napari.core.data.mask_kinds import (
    CLASSES,
    TINY,
    Pieces,
    classes_in,
    count_pieces,
    refuse_classes,
    refuse_single_numbers,
)
from embedseg_napari.core.data.parts import parts_with
from embedseg_napari.core.data.sparse import known_background, known_instances
from embedseg_napari.core.data.stored import StoredExample
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.wording import alpha_words, count

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from embedseg_napari.core.data.example import Example

FEW_OBJECTS = 10
"""Fewer give a model that depends on which they are: on nuclei of one kind, 5 objects gave AP 0.54 at IoU 0.5 on other
images, 10 gave 0.79, 20 gave 0.80, and 50 gave 0.91."""
UNRELATED = 0.03
"""Correlation of neighbouring pixels below which an image holds noise only. Of 640 real images the lowest, a faint and
noisy volume, had 0.46; a volume whose 16-bit values had been wrapped into 8 bits had 0.001."""
ENOUGH_TO_TELL = 4096
"""Pixels from which on a correlation that low is no chance."""
SAMPLE = 1 << 22
"""Of larger images every so many-th line is looked at, about this many pixels."""

ONE_CHANNEL = "choose one channel with --channel (in napari, under Channel)"
"""What helps where images have more channels than the network takes."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What one mask holds."""

    example: Example
    n: int = 0
    """Objects."""
    pieces: Pieces | None = None
    """Of a label image, or of few planes."""
    n_split: int = 0
    """Objects in several pieces."""
    n_tiny: int = 0
    cover: float = 0.0
    """Fraction of the image in its largest object."""
    largest: int = 0
    """Number of that object."""
    has_zeros: bool = True
    """Whether some pixel of the mask is of no object, known or not."""
    has_background: bool = True
    """Whether some pixel is known to be background."""
    n_not_finite: int = 0
    """Values of the image that are no finite numbers."""
    is_flat: bool = False
    """Whether a channel of the image holds one value everywhere."""
    is_noise: bool = False
    """Whether no channel of the image shows anything but noise."""


def check_examples(training: Sequence[Example], validation: Sequence[Example] = ()) -> list[str]:
    """Look for faults that would spoil a training.

    Parameters
    ----------
    training, validation : sequence of Example
        Images to train on, and to validate on.

    Returns
    -------
    list of str
        Warnings, one sentence each.

    Raises
    ------
    DataError
        If the images cannot be trained on; names the file and the fault.
    """
    if not training:
        raise DataError("There are no images to train on.")
    examples = [*training, *validation]
    check_alike(examples)
    found = [_look(example) for example in examples]
    holding = [one for one in found if one.n]
    if not holding:
        if any(_holds_any(example) for example in examples):
            raise DataError(
                f"{mask_name(examples[0])}: all objects, in this mask and any other, lie on pixels to be ignored."
            )
        raise DataError(f"{mask_name(examples[0])}: no objects in this mask or any other; label some objects first.")
    for part, name, remedy in (
        (training, "training", "label some objects first"),
        (validation, "validation", "choose others, or let some of the training images be held out"),
    ):
        if part and not any(_holds_known(example) for example in part):
            raise DataError(
                f"{mask_name(part[0])}: no objects in this mask or any other of the {name} images; {remedy}."
            )
    for one in holding:
        if one.pieces:
            refuse_classes(one.pieces)
        _refuse_background(one)
    if all(one.pieces for one in holding):
        refuse_single_numbers([one.pieces for one in holding if one.pieces])
    return [*_warnings(found), *_spacing_warnings(examples), *_shared_warnings(training, validation)]


def mask_name(example: Example) -> str:
    """Name the mask of an example in a sentence."""
    return str(example.mask_path) if example.mask_path else f"the mask of {image_name(example)}"


def image_name(example: Example) -> str:
    """Name the image of an example in a sentence."""
    return str(example.path or example.name)


def check_alike(examples: Sequence[Example]) -> None:
    """Refuse images that one network cannot learn from together.

    Raises
    ------
    DataError
        Naming the image that differs.
    """
    first = examples[0]
    if len(first.image) > MAX_CHANNELS:
        raise DataError(
            f"{image_name(first)}: has {len(first.image)} channels, but the network takes at most {MAX_CHANNELS}; "
            f"{ONE_CHANNEL}, or save fewer (is the axis perhaps Z or T? Name it with --axes)."
        )
    for example in examples:
        if example.ndim != first.ndim:
            raise DataError(
                f"{image_name(example)}: is {example.ndim}D, but {image_name(first)} is {first.ndim}D; "
                "train on one kind."
            )
        if len(example.image) != len(first.image):
            raise DataError(
                f"{image_name(example)}: has {count(len(example.image), 'channel')}, but {image_name(first)} has "
                f"{len(first.image)}; use images of one kind, or {ONE_CHANNEL}."
                + alpha_words(*sorted((len(example.image), len(first.image)), reverse=True))
            )


def _holds_any(example: Example) -> bool:
    """Whether there is an object, known or not."""
    return len(example.survey.table.ids) > 0 if isinstance(example, StoredExample) else bool(example.instances.any())


def _holds_known(example: Example) -> bool:
    if isinstance(example, StoredExample):
        return len(example.objects.ids) > 0
    return bool(known_instances(example).any())


def _look(example: Example) -> _Found:
    if isinstance(example, StoredExample):
        return _look_at_parts(example)
    image = example.image.reshape(len(example.image), -1)
    n_not_finite = 0 if image.dtype.kind in "bui" else int(np.count_nonzero(~np.isfinite(image)))
    is_flat = bool((image.min(1) == image.max(1)).any())
    is_noise = all(_is_noise(channel) for channel in example.image)
    instances = known_instances(example)
    look = _look_at_planes if example.is_planes else _look_at_labels
    found = look(example, instances) if instances.any() else _Found(example)
    has_background = bool(known_background(example, instances).any())
    return replace(found, n_not_finite=n_not_finite, is_flat=is_flat, is_noise=is_noise, has_background=has_background)


def _is_noise(channel: np.ndarray) -> bool:
    """Whether pixels of a channel have nothing to do with their neighbours along Y and X."""
    return channel.size >= ENOUGH_TO_TELL and all(abs(_related(channel, axis)) < UNRELATED for axis in (-2, -1))


def _related(channel: np.ndarray, axis: int) -> float:
    """Correlation of pixels with the next along an axis; 1 where it is undefined."""
    lines = np.moveaxis(channel, axis, -1)
    # Whole lines, spread over the image: some go through what there is to see, however little it is.
    step = max(1, round((channel.size / SAMPLE) ** (1 / (channel.ndim - 1))))
    lines = lines[(slice(None, None, step),) * (channel.ndim - 1)].astype(np.float64)
    here, there = lines[..., :-1] - lines.mean(), lines[..., 1:] - lines.mean()
    spread = float((here**2).mean() * (there**2).mean()) ** 0.5 if here.size else 0.0
    return float((here * there).mean()) / spread if spread > 0 and np.isfinite(spread) else 1.0


def _look_at_parts(example: StoredExample) -> _Found:
    """Look at some parts of an image on the disk; its objects are measured already."""
    known, sizes = example.known, example.objects.sizes
    n_pixels = math.prod(example.image.shape[1:])
    parts = parts_with(example.objects.centers, example.image.shape[1:])
    pixels = [example.image.read(part) for part in parts]
    low, high = (np.array([[f(channel) for channel in one] for one in pixels]) for f in (np.min, np.max))
    found = _Found(
        example,
        n_not_finite=sum(int(np.count_nonzero(~np.isfinite(one))) for one in pixels if one.dtype.kind == "f"),
        is_flat=bool((low.min(0) == high.max(0)).any()),
        is_noise=all(_is_noise(channel) for one in pixels for channel in one),
        has_background=known.n_background > 0,
    )
    if len(sizes) == 0:
        return found
    few = None
    if len(sizes) <= CLASSES:
        held, unknown = max(map(example.instances.read, parts), key=lambda one: int(np.count_nonzero(one[0])))
        few = classes_in(held, mask_name(example), unknown=unknown)
    return replace(
        found,
        n=len(sizes),
        pieces=few,
        n_tiny=int((sizes <= TINY).sum()),
        cover=float(sizes.max()) / n_pixels,
        largest=int(example.objects.ids[sizes.argmax()]),
        has_zeros=int(sizes.sum()) < n_pixels,
    )


def _look_at_planes(example: Example, instances: np.ndarray) -> _Found:
    split, sizes, ids = 0, [], []
    for index, plane in enumerate(instances):
        boxes = ndimage.find_objects(plane.view(np.uint8))
        if not boxes:
            continue
        # With what the object ends at.
        box = tuple(slice(max(0, side.start - 1), side.stop + 1) for side in boxes[0])
        unknown = None if example.ignore is None else example.ignore[box]
        one = count_pieces(plane[box].astype(np.uint8), mask_name(example), unknown)
        split += one.n_split
        sizes.append(int(one.sizes[0]))
        ids.append(index + 1)
    return _Found(
        example,
        n=len(sizes),
        pieces=classes_in(instances, mask_name(example), planes=True, unknown=example.ignore),
        n_split=split,
        n_tiny=sum(size <= TINY for size in sizes),
        cover=max(sizes) / instances[0].size,
        largest=ids[int(np.argmax(sizes))],
    )


def _look_at_labels(example: Example, instances: np.ndarray) -> _Found:
    pieces = count_pieces(instances, mask_name(example), example.ignore)
    return _Found(
        example,
        n=pieces.n,
        pieces=pieces,
        n_split=pieces.n_split,
        n_tiny=int((pieces.sizes <= TINY).sum()),
        cover=float(pieces.sizes.max()) / instances.size,
        largest=pieces.largest,
        has_zeros=bool(pieces.sizes.sum() < instances.size),
    )


def _refuse_background(one: _Found) -> None:
    if one.n == 1 and not one.has_zeros:
        raise DataError(f"{mask_name(one.example)}: contains the same number everywhere; use 0 for background.")
    if one.n > 1 and (one.cover > 0.8 or (one.cover > 0.5 and not one.has_zeros)):
        raise DataError(
            f"{mask_name(one.example)}: object {one.largest} covers {100 * one.cover:.0f} % of the image; "
            "if it is the background, give it the number 0."
        )


def _warnings(found: Sequence[_Found]) -> list[str]:
    """One sentence for each kind of flaw, with its count and the first file that has it."""
    out: list[str] = []

    def warn(of: Callable[[_Found], int], text: str, name: Callable[[Example], str] = mask_name) -> None:
        having = [one for one in found if of(one)]
        if having:
            out.append(text.format(n=sum(map(of, having)), first=name(having[0].example)))

    warn(
        lambda one: one.n == 0 and one.has_background,
        "Masks without any object: {n}, the first {first}. They teach background only.",
    )
    split = (
        "Labels in several pieces: {n}, the first in {first}. Each counts as one object; if the pieces are objects, "
        "give each "
    )
    warn(lambda one: 0 if one.example.is_planes else one.n_split, split + "its own number.")
    warn(lambda one: one.n_split if one.example.is_planes else 0, split + "a plane of its own.")
    warn(
        lambda one: one.n_tiny,
        f"Objects of at most {TINY} pixels: {{n}}, the first in {{first}}. Slips of the brush?",
    )
    warn(
        lambda one: one.cover > 0.5,
        "Masks with an object that covers more than half of the image: {n}, the first {first}. Is it background?",
    )
    warn(
        lambda one: not one.has_zeros,
        "Masks without background (number 0): {n}, the first {first}. Is every pixel part of an object?",
    )
    warn(
        lambda one: one.n > 0 and one.has_zeros and not one.has_background,
        "Masks with objects but no known background: {n}, the first {first}. The network cannot learn from them where "
        "objects end. Mark some background, best around and between the objects.",
    )
    warn(
        lambda one: one.n_not_finite,
        "NaN or infinite values: {n}, the first in {first}. They are taken as missing and filled in from around.",
        image_name,
    )
    warn(
        lambda one: one.is_flat,
        "Images with a channel of one value everywhere: {n}, the first {first}.",
        image_name,
    )
    warn(
        lambda one: one.is_noise,
        "Images that show nothing but noise: {n}, the first {first}. Were 16-bit values perhaps wrapped into 8 bits? "
        "Save such images again, or leave them out; they spoil the training.",
        image_name,
    )
    warn(
        lambda one: one.example.ignore is not None and bool(one.example.ignore.all()),
        "Images that are ignored everywhere and teach nothing: {n}, the first {first}.",
        image_name,
    )
    total = sum(one.n for one in found)
    if total < FEW_OBJECTS:
        out.append(
            f"Only {count(total, 'labelled object')}; expect a rough model that depends on which they are. Label about "
            "50, best in several images, or start from a model of similar objects."
        )
    return out


def _spacing_warnings(examples: Sequence[Example]) -> list[str]:
    """Depth against width decides in 3D what is round; in 2D only the pixels count."""
    if examples[0].ndim == 2:
        return []
    silent = [example for example in examples if example.spacing is None]
    if silent:
        return [
            f"Images that do not say how large their voxels are: {len(silent)}, the first {image_name(silent[0])}. "
            "Voxels are taken to be cubes; if slices are further apart than pixels, give --spacing "
            "Z,Y,X (in napari, write it under Voxel)."
        ]
    ratios = [example.spacing[0] / example.spacing[-1] for example in examples if example.spacing]
    if max(ratios) > 1.1 * min(ratios):
        return [
            f"Voxels are {min(ratios):.3g} to {max(ratios):.3g} times as deep as wide: the images differ, "
            "and the first one's voxel size is taken for all."
        ]
    return []


def _shared_warnings(training: Sequence[Example], validation: Sequence[Example]) -> list[str]:
    """Frames of one movie resemble each other: a network that has seen some knows the others."""
    origins = {example.origin for example in training} - {None}
    shared = [example for example in validation if example.origin in origins]
    if not shared:
        return []
    return [
        f"Parts of {shared[0].origin} are trained on and others of it held out: the score tells how well frames and "
        "regions between labelled ones will be segmented, not other images. To hold out whole ones, give --val or "
        "--val-group (in napari, learn from five images or more, or from a folder with val/)."
    ]
