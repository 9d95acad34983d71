"""Hold out images, or objects of them, for validation."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.data.sparse import object_ids
from embedseg_napari.core.data.stored import StoredExample
from embedseg_napari.core.data.unknown import union
from embedseg_napari.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.config import TrainingConfig
    from embedseg_napari.core.data.example import Example

FEW_IMAGES = 5
"""With fewer images none is held out unasked: one or two choose nothing reliably, and training needs every one."""
LEAST_OBJECTS = 10
"""With fewer objects none is held out: training needs every one."""
WANTED_OBJECTS, MOST_OF_THEM = 10, 0.2
"""Where objects are held out because images are too few: so many, if they are no larger a part than that."""


def hold_out_images(
    examples: Sequence[Example], config: TrainingConfig, group: str | None = None
) -> tuple[list[Example], list[Example]]:
    """Choose the validation images where none are given.

    `config.validation_fraction` of the images is held out, of fewer than 5 images none. Where groups are asked for,
    some are held out however few images there are. Frames of one file or array, and frames and regions of one layer,
    stay together where there are 5 of these or more.
    Both parts hold objects: where only one image has some, none is held out.

    Parameters
    ----------
    examples : sequence of Example
        All images.
    config : TrainingConfig
        Settings of the training.
    group : str, optional
        As in :func:`split_validation`.

    Returns
    -------
    training, validation : list of Example
    """
    is_unasked = group is None and (len(examples) < FEW_IMAGES or sum(_has_objects(one) for one in examples) == 1)
    if is_unasked or (group is None and config.validation_fraction == 0):
        return list(examples), []
    return split_validation(examples, config.validation_fraction, group=group, seed=config.seed)


def split_validation(
    examples: Sequence[Example], fraction: float, group: str | None = None, seed: int = 0
) -> tuple[list[Example], list[Example]]:
    """Hold out a random part of the images.

    Parameters
    ----------
    examples : sequence of Example
        All images.
    fraction : float
        Part to hold out; at least one image or group, never all.
    group : str, optional
        Regular expression searched in file names; files whose match (its first group, if it has one) is the same stay
        together, such as frames of one embryo.
    seed : int
        The same seed gives the same split.

    Raises
    ------
    SettingsError
        If the expression is wrong, or there are not two groups to split.
    """
    if not 0 <= fraction < 1:
        raise SettingsError(f"A part of {fraction} cannot be held out for validation; choose one from 0 to below 1.")
    keys = _keys(examples) if group is None else [_group(example.name, group) for example in examples]
    sizes = Counter(keys)
    names = sorted(sizes)
    if len(names) < 2:
        raise SettingsError(
            "Only one image was given; nothing can be held out."
            if group is None
            else f"--val-group {group!r} puts all images into one group; at least two are needed."
        )
    order = [names[index] for index in np.random.default_rng(seed).permutation(len(names))]
    wanted = fraction * len(examples)
    held: set[str] = set()
    count = 0
    for name in order:
        # Leave out a group that would miss the wanted part by more than being without it.
        if count + sizes[name] / 2 <= wanted and len(held) < len(names) - 1:
            held.add(name)
            count += sizes[name]
    if not held:
        held.add(min(order, key=lambda name: sizes[name]))
    held = _both_with_objects(held, order, {key for one, key in zip(examples, keys, strict=True) if _has_objects(one)})
    train = [e for e, key in zip(examples, keys, strict=True) if key not in held]
    return train, [e for e, key in zip(examples, keys, strict=True) if key in held]


def _has_objects(example: Example) -> bool:
    return len(example.survey.table.ids) > 0 if isinstance(example, StoredExample) else bool(example.instances.any())


def _keys(examples: Sequence[Example]) -> list[str]:
    """What is held out together: each image by itself, or the parts of one file, array or layer where these suffice."""
    origins = [example.origin or example.name for example in examples]
    n_origins = len(set(origins))
    return origins if FEW_IMAGES <= n_origins < len(origins) else [example.name for example in examples]


def _both_with_objects(held: set[str], order: Sequence[str], with_objects: set[str]) -> set[str]:
    """Exchange a group, where chance left either part without any object."""
    # In the order of the lots, so that the seed decides here too.
    useful = [name for name in order if name in with_objects]
    if len(useful) < 2:
        return held
    if not held & with_objects:
        return (held - {next(name for name in order if name in held)}) | {useful[0]}
    if with_objects <= held:
        return held - {useful[-1]}
    return held


def _group(name: str, pattern: str) -> str:
    try:
        found = re.search(pattern, name)
    except re.error as error:
        raise SettingsError(f"--val-group {pattern!r} is no regular expression: {error}.") from error
    if found is None:
        raise SettingsError(f"--val-group {pattern!r} matches nothing in the file name {name!r}.")
    if found.re.groups:
        if found.group(1) is None:
            raise SettingsError(f"--val-group {pattern!r}: its first group matches nothing in the file name {name!r}.")
        return str(found.group(1))
    return str(found.group(0))


def object_fraction(examples: Sequence[Example], config: TrainingConfig) -> float:
    """Part of the objects to hold out for a score, where no image could be held out unasked.

    `config.validation_objects` if it is set. Else `config.validation_fraction`, more where that would be fewer than ten
    objects, up to a fifth of them; none where that fraction is 0.

    Parameters
    ----------
    examples : sequence of Example
        All images.
    config : TrainingConfig
        Settings of the training.
    """
    if config.validation_objects or not config.validation_fraction:
        return config.validation_objects
    total = sum(len(object_ids(one)) for one in examples)
    return max(config.validation_fraction, min(WANTED_OBJECTS / max(total, 1), MOST_OF_THEM))


def hold_out_objects(
    example: Example, fraction: float, seed: int = 0, n_objects: int | None = None
) -> tuple[Example, NDArray[np.int64]]:
    """Hold out a random part of an image's objects.

    Each object's lot is drawn by itself, from the seed, the image's name and the object's id: while more objects are
    painted, those held out stay held out and the others stay in. So the part is `fraction` on average only.

    Parameters
    ----------
    example : Example
        The annotated image.
    fraction : float
        Chance of each object.
    seed : int
        The same seed gives the same objects.
    n_objects : int, optional
        Objects of all images together; default those of this one. Of fewer than 10 none is held out.

    Returns
    -------
    training : Example
        The image with the objects held out as unknown pixels.
    ids : ndarray
        The objects held out, ascending; scored by :func:`held_out_score` with the example as given.
    """
    ids = object_ids(example)
    if (len(ids) if n_objects is None else n_objects) < LEAST_OBJECTS:
        return example, ids[:0]
    held = np.array([label for label in ids.tolist() if _lot(f"{seed}/{example.name}/{label}") < fraction], np.int64)
    if len(held) == 0:
        return example, held
    if isinstance(example, StoredExample):
        return example.hiding(held), held
    hidden = np.asarray(example.instances[held - 1].any(0) if example.is_planes else np.isin(example.instances, held))
    return dataclasses.replace(example, ignore=union(example.ignore, hidden)), held


def _lot(text: str) -> float:
    """A number from 0 to below 1 that is the same on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "big") / 2**56
