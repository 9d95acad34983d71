"""Sparse labels: what is known of an image of which only a part is annotated.

A pixel is object, background, or of unknown class. Unknown pixels are those of ``Example.ignore``; whatever an object
looks like there counts for nothing, so everything that measures objects looks at :func:`known_instances`.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.data.stored import StoredExample
from embedseg_napari.core.data.unknown import split_ignore_label, union

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.data.example import Example

SPARSE = 0.9
"""Images of which a smaller part of the pixels is known count as sparsely labelled."""


def with_ignore_label(example: Example, label: int | None) -> Example:
    """The example with one value of its mask turned into unknown pixels, in addition to those it has."""
    if isinstance(example, StoredExample):
        # Said when its objects were measured.
        return example
    instances, ignore = split_ignore_label(example.instances, label, planes=example.is_planes)
    if ignore is None:
        return example
    return dataclasses.replace(example, instances=instances, ignore=union(example.ignore, ignore))


def known_instances(example: Example) -> np.ndarray:
    """Labels or planes of an example, 0 where the class is unknown."""
    if example.ignore is None:
        return example.instances
    return np.where(example.ignore, example.instances.dtype.type(0), example.instances)


def object_ids(example: Example) -> NDArray[np.int64]:
    """Ids (planes: index + 1) of the objects of which something is known, ascending."""
    if isinstance(example, StoredExample):
        return example.objects.ids
    known = known_instances(example)
    if example.is_planes:
        return np.flatnonzero(known.any(tuple(range(1, known.ndim)))) + 1
    return np.unique(known[known != 0]).astype(np.int64)


def known_background(example: Example, instances: np.ndarray) -> NDArray[np.bool_]:
    """Pixels known to belong to no object; `instances` as :func:`known_instances` gives them."""
    outside: NDArray[np.bool_] = np.asarray(~instances.any(0) if example.is_planes else instances == 0)
    if example.ignore is not None:
        outside &= ~example.ignore
    return outside


def n_unknown(example: Example) -> int:
    """Pixels whose class is unknown."""
    if isinstance(example, StoredExample):
        return example.known.n_unknown
    return 0 if example.ignore is None else int(np.count_nonzero(example.ignore))


def describe_sparse(examples: Sequence[Example]) -> str | None:
    """One sentence on how much is labelled, where that is only a part of the pixels; None for dense labels."""
    known = total = n = 0
    for example in examples:
        pixels = int(np.prod(example.image.shape[1:]))
        total += pixels
        known += pixels - n_unknown(example)
        n += len(object_ids(example))
    if known >= SPARSE * total:
        return None
    percent = 100 * known / total
    return (
        f"{n} object{'' if n == 1 else 's'} and {percent:.{0 if percent >= 1 else 1}f} % of the pixels are labelled; "
        "the others neither reward nor punish."
    )
