"""Objects of one crop put into another: scenes more varied and more crowded than the images that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from embedseg_napari.core.training.crops.augmentation import gaussian_blur

if TYPE_CHECKING:
    from torch import Tensor

PASTED_SHARE = 0.5
"""Part of the other crop's objects that is pasted."""
LEAST_LEFT = 0.7
"""Part of an object that must stay visible; what would cover more of it is not pasted."""
EDGE = 0.7
"""Standard deviation in pixels of the seam between a pasted object and what lies around it."""


class Crop(NamedTuple):
    """One crop before intensities are changed."""

    image: Tensor
    """(C, (Z,) Y, X) float32, normalised."""
    instances: Tensor
    """((Z,) Y, X) ids or (K, (Z,) Y, X) planes, int32; 0 is background."""
    ignore: Tensor
    """((Z,) Y, X) bool, pixels of unknown class."""
    centers: np.ndarray
    """(n, ndim) in pixels, rows in ascending id or plane."""


def paste_objects(onto: Crop, other: Crop, rng: np.random.Generator) -> Crop:
    """Put about half of the objects of `other` where they are into `onto`, with a soft seam.

    As in Ghiasi et al. (2021), "Simple Copy-Paste is a Strong Data Augmentation Method for Instance Segmentation".
    Planes keep what is covered, as where objects lie on top of each other.

    Parameters
    ----------
    onto, other : Crop
        Crops of the same shape. Neither is changed.
    rng : Generator
        Chooses the objects.
    """
    is_planes = onto.instances.ndim == onto.image.ndim
    planes = other.instances > 0 if is_planes else _as_planes(other.instances)
    chosen = rng.random(len(planes)) < PASTED_SHARE
    planes = planes & ~other.ignore
    chosen &= planes.flatten(1).any(1).cpu().numpy()
    if not is_planes:
        chosen &= ~_hides(planes, onto.instances)
    if not chosen.any():
        return onto
    planes, centers = planes[torch.from_numpy(chosen).to(planes.device)], other.centers[chosen]
    covered = planes.any(0)
    seam = gaussian_blur(covered.to(onto.image)[None, None], [EDGE])[0]
    image = onto.image + (other.image - onto.image) * seam
    highest = int(onto.instances.max()) if onto.instances.numel() else 0
    ids = torch.arange(highest + 1, highest + 1 + len(planes), dtype=torch.int32, device=planes.device)
    new = planes.to(torch.int32) * ids.reshape(-1, *[1] * (planes.ndim - 1))
    if is_planes:
        instances, kept = torch.cat([onto.instances, new]), onto.centers
    else:
        instances = torch.where(covered, new.amax(0), onto.instances)
        # Several together may hide an object wholly.
        kept = onto.centers[np.isin(present_ids(onto.instances), present_ids(instances))]
    return Crop(image, instances, onto.ignore & ~covered, np.concatenate([kept, centers]))


def present_ids(labels: Tensor) -> np.ndarray:
    """The ids that labels hold, ascending, without the background's 0."""
    ids = np.flatnonzero(np.bincount(labels.cpu().numpy().ravel()))
    return ids[ids > 0]


def _as_planes(labels: Tensor) -> Tensor:
    """(K, (Z,) Y, X) bool, planes in ascending id."""
    ids = torch.from_numpy(present_ids(labels)).to(labels)
    return labels[None] == ids.reshape(-1, *[1] * labels.ndim)


def _hides(planes: Tensor, labels: Tensor) -> np.ndarray:
    """Which planes cover too much of an object."""
    flat = labels.flatten().long()
    whole = torch.bincount(flat)
    hides = []
    for plane in planes.flatten(1):
        covered = torch.bincount(flat[plane], minlength=len(whole))
        hides.append(bool((covered[1:] > (1 - LEAST_LEFT) * whole[1:]).any()))
    return np.array(hides, bool)
