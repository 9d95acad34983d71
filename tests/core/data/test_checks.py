"""Faults found before training: what is fatal, what is said, and what must pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from stored_steps import store

from embedseg_napari.core.data.checks import check_examples
from embedseg_napari.core.data.example import Example
from embedseg_napari.core.data.on_disk import FromDisk
from embedseg_napari.core.data.pairs import from_arrays, load_folder
from embedseg_napari.core.data.stored import StoredExample
from embedseg_napari.core.errors import DataError

SPACING = {2: None, 3: (1.0, 1.0, 1.0)}


def grid(ndim, n, side=4, start=1, same=None, size=None):
    """Labels of `n` boxes in a row, all of one number if `same`."""
    labels = np.zeros((size or 64, 8 * n + 8) if ndim == 2 else (size or 12, 16, 8 * n + 8), np.int32)
    for index in range(n):
        labels[(*[slice(2, 2 + side)] * (ndim - 1), slice(8 * index + 2, 8 * index + 2 + side))] = same or start + index
    return labels


def example(labels, name="a", planes=False, **options):
    shape = labels.shape[1:] if planes else labels.shape
    image = options.pop("image", ndimage.gaussian_filter(np.random.default_rng(0).random(shape), 1)[None])
    options.setdefault("spacing", SPACING[len(shape)])
    return Example(name, image, labels, path=Path(f"{name}.tif"), mask_path=Path(f"masks/{name}.tif"), **options)


def as_planes(labels):
    return np.stack([labels == number for number in np.unique(labels)[1:]])


@pytest.mark.parametrize("ndim", [2, 3])
def test_good_images_pass_in_silence(ndim):
    assert check_examples([example(grid(ndim, 12)), example(grid(ndim, 9, start=100), "b")]) == []
    assert check_examples([example(as_planes(grid(ndim, 12)), planes=True)]) == []


@pytest.mark.parametrize("ndim", [2, 3])
def test_touching_objects_are_not_pieces_of_each_other(ndim):
    labels = np.kron(np.arange(1, 13).reshape((*[1] * (ndim - 1), 12)), np.ones((8,) * ndim, int)).astype(np.int32)
    labels = np.pad(labels, 4)
    assert check_examples([example(labels)]) == []


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize(
    ("labels", "fault"),
    [
        (lambda ndim: grid(ndim, 12, same=1), "12 separate pieces share 1 number.*binary mask"),
        (lambda ndim: grid(ndim, 2, same=255), "2 separate pieces.*binary mask"),
        (lambda ndim: np.where(grid(ndim, 12) > 6, 2, np.minimum(grid(ndim, 12), 1)), "classes"),
        (lambda ndim: np.ones_like(grid(ndim, 2)), "same number everywhere"),
        (lambda ndim: grid(ndim, 12, start=2) + (grid(ndim, 12) == 0), "object 1 covers .* background"),
        (
            lambda ndim: np.where(grid(ndim, 12, side=1) > 9, 0, grid(ndim, 12, side=1) + 1),
            "object 1 covers .* background",
        ),
        (
            lambda ndim: np.maximum(grid(ndim, 12, side=6, size=9)[..., :8, :], 1),
            "object 1 covers [56]. % .* background",
        ),
        (lambda ndim: np.zeros_like(grid(ndim, 2)), "no objects in this mask or any other"),
    ],
    ids=["binary", "255", "classes", "all one", "background 1", "huge", "no background", "empty"],
)
def test_masks_that_teach_nonsense_are_fatal(ndim, labels, fault):
    with pytest.raises(DataError, match=rf"masks.a\.tif.*{fault}"):
        check_examples([example(labels(ndim).astype(np.int32))])


def test_few_binary_pieces_in_every_mask_are_fatal_together():
    masks = [example(grid(2, 3, same=1), str(index)) for index in range(4)]
    with pytest.raises(DataError, match="12 pieces lie in 4 masks"):
        check_examples(masks)
    # One object in three pieces among well numbered ones is a warning only.
    warnings = check_examples([masks[0], example(grid(2, 12), "b")])
    assert len(warnings) == 1
    assert "Labels in several pieces: 1, the first in masks/0.tif" in warnings[0]


@pytest.mark.parametrize("ndim", [2, 3])
def test_crumbs_beside_one_object_are_no_classes(ndim):
    labels = grid(ndim, 12, side=3, same=1)
    labels[(*[slice(2, 13)] * (ndim - 1), slice(2, 15))] = 1
    warnings = check_examples([example(labels)])
    assert any("Labels in several pieces: 1" in text for text in warnings)


@pytest.mark.parametrize("ndim", [2, 3])
def test_empty_masks_teach_background(ndim):
    good = example(grid(ndim, 12))
    empty = example(np.zeros_like(good.instances), "b")
    assert check_examples([good, empty]) == [
        "Masks without any object: 1, the first masks/b.tif. They teach background only."
    ]
    none = example(np.zeros((3, *good.instances.shape), bool), "c", planes=True)
    assert "Masks without any object: 2" in check_examples([good, empty, none])[0]


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("planes", [False, True])
def test_flaws_are_counted(ndim, planes):
    labels = grid(ndim, 12)
    labels[labels == 3] = 2
    labels[labels == 7] = 0
    labels[(2,) * ndim] = 0
    labels[(*[2] * (ndim - 1), 50)] = 7
    warnings = check_examples([example(as_planes(labels) if planes else labels, planes=planes)])
    assert len(warnings) == 2
    assert warnings[0].startswith("Labels in several pieces: 1")
    assert warnings[0].endswith("give each a plane of its own." if planes else "give each its own number.")
    assert warnings[1].startswith("Objects of at most 4 pixels: 1")


def test_large_objects_and_masks_without_background_are_asked_about():
    labels = np.zeros((40, 40), np.int32)
    labels[:, :24] = 1
    labels[:, 30:] = 2
    warnings = check_examples([example(labels)])
    assert any("more than half" in text for text in warnings)
    full = np.arange(1, 17).reshape(4, 4).repeat(5, 0).repeat(5, 1).astype(np.int32)
    assert ["without background" in text for text in check_examples([example(full)])] == [True]


@pytest.mark.parametrize("shape", [(128, 128), (20, 64, 64)])
def test_an_image_of_noise_is_told_from_a_noisy_image(shape):
    labels = np.zeros(shape, np.int32)
    for number in range(12):
        labels[..., 10:20, 5 + 5 * number : 9 + 5 * number] = number + 1
    seen = np.random.default_rng(0).normal(300 + 200 * (labels > 0), 60)
    wrapped = np.random.default_rng(0).normal(30000 + 20000 * (labels > 0), 6000).astype(np.uint16).astype(np.uint8)
    assert check_examples([example(labels, image=seen[None], spacing=(1.0,) * len(shape))]) == []
    (warning,) = check_examples([example(labels, image=wrapped[None], spacing=(1.0,) * len(shape))])
    assert "nothing but noise: 1, the first a.tif" in warning
    assert "wrapped into 8 bits" in warning


def test_values_that_are_no_numbers_are_told():
    image = np.random.default_rng(0).random((1, *grid(2, 12).shape)).astype(np.float32)
    image = ndimage.gaussian_filter(image, (0, 1, 1))
    image[0, 3, 4:6] = np.nan, np.inf
    (warning,) = check_examples([example(grid(2, 12), image=image)])
    assert "NaN or infinite values: 2, the first in a.tif" in warning


def test_few_objects_and_flat_or_ignored_images():
    labels = grid(2, 12)
    assert "Only 3 labelled objects" in check_examples([example(grid(2, 3))])[0]
    flat = example(labels, image=np.stack([np.random.default_rng(0).random(labels.shape), np.ones(labels.shape)]))
    assert "one value everywhere: 1, the first a.tif" in check_examples([flat])[0]
    blind = example(labels, "blind", ignore=np.ones(labels.shape, bool))
    assert check_examples([example(labels), blind]) == [
        "Images that are ignored everywhere and teach nothing: 1, the first blind.tif."
    ]
    with pytest.raises(DataError, match=r"masks.blind\.tif: all objects.*to be ignored"):
        check_examples([blind])


def few(warnings):
    """Numbers of objects that are told to be too few; each warning must be of this kind and say what to do."""
    assert all("start from a model of similar objects" in warning for warning in warnings)
    return [int(warning.split()[1]) for warning in warnings]


def only_planes(labels, kept):
    """Everything but some planes is unknown."""
    ignore = np.ones(labels.shape[-3:], bool)
    ignore[list(kept)] = False
    return ignore


def test_sparse_labels_give_no_nonsense():
    labels = grid(2, 12)
    ignore = np.ones(labels.shape, bool)
    ignore[:, :40] = False
    assert few(check_examples([example(labels, ignore=ignore)])) == [5]
    everything_else = labels == 0
    (warning,) = check_examples([example(labels, ignore=everything_else)])
    assert "no known background: 1, the first masks/a.tif" in warning
    assert "Mark some background" in warning
    # A large unknown part is no object that covers the image, whatever number stands there.
    assert check_examples([example(np.where(ignore, 7, labels), ignore=ignore)])[0].startswith(
        "Only 5 labelled objects"
    )


@pytest.mark.parametrize("planes", [False, True])
def test_an_object_on_some_planes_is_one_piece(planes):
    labels = grid(3, 2, side=9, size=12)
    labels = labels[..., :10, :] * np.ones((12, 1, 1), np.int32)
    labels = np.maximum(labels, labels.max(0))
    kept = range(0, 12, 2)
    if planes:
        labels = as_planes(labels)
    one = example(labels, planes=planes, ignore=only_planes(labels, kept))
    assert few(check_examples([one])) == [2]


PAINTED = (2, 5, 8, 11, 14)


def balls(n):
    """Balls in a row."""
    z, y, x = np.indices((20, 60, 72))
    labels = np.zeros(z.shape, np.int32)
    for index in range(n):
        labels[(z - 8) ** 2 + (y - 12) ** 2 + (x - 10 - 20 * index) ** 2 < 7.5**2] = index + 1
    return labels


def across(axis, planes, shape=(20, 60, 72)):
    """Planes of a volume."""
    known = np.zeros(shape, bool)
    np.moveaxis(known, axis, 0)[list(planes)] = True
    return known


def says_nothing_of_pieces(examples):
    return not any("several pieces" in text for text in check_examples(examples))


KNOWN = {
    "XY": (1, across(0, PAINTED)),
    "XZ": (1, across(1, [4 + index for index in PAINTED])),
    "YZ": (1, across(2, [2 + index for index in PAINTED])),
    "pairs of XZ": (1, across(1, [6, 7, 9, 10, 12, 13, 15, 16, 18, 19])),
    "XY beside one XZ": (3, across(0, PAINTED) | across(1, [45])),
    "XY and one XZ": (3, across(0, PAINTED) | across(1, [11])),
    "XZ beside one XY": (3, across(1, [4 + index for index in PAINTED]) | across(0, [19])),
}


@pytest.mark.parametrize("is_stored", [False, True])
@pytest.mark.parametrize("case", KNOWN)
def test_objects_on_some_planes_are_whole_along_any_axis(tmp_path, case, is_stored):
    n, known = KNOWN[case]
    path = store(tmp_path / "a.ome.zarr", 3, np.where(known, balls(n), 99))
    given = load_folder(path, ignore_label=99, from_disk=FromDisk(1.0 if is_stored else None))
    assert isinstance(given[0], StoredExample) == is_stored
    assert says_nothing_of_pieces(given)


@pytest.mark.parametrize("case", KNOWN)
def test_planes_of_objects_on_some_planes_are_whole_along_any_axis(case):
    n, known = KNOWN[case]
    assert says_nothing_of_pieces([example(as_planes(balls(n)), planes=True, ignore=~known)])


@pytest.mark.parametrize("is_stored", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_binary_mask_on_some_planes_is_one_still(tmp_path, axis, is_stored):
    labels = np.zeros((20, 60, 72), np.int32)
    labels[2:18, 4:56, 4:68] = 1
    for side in range(3):
        np.moveaxis(labels, side, 0)[10::12] = 0
    known = across(axis, PAINTED)
    path = store(tmp_path / "a.ome.zarr", 3, np.where(known, labels, 99))
    given = load_folder(path, ignore_label=99, from_disk=FromDisk(1.0 if is_stored else None))
    with pytest.raises(DataError, match="binary mask"):
        check_examples(given)


def test_images_must_be_of_one_kind():
    flat, deep = example(grid(2, 12)), example(grid(3, 12), "deep")
    two = example(grid(2, 12), "two", image=np.random.default_rng(0).random((2, *grid(2, 12).shape)))
    with pytest.raises(DataError, match=r"deep\.tif: is 3D, but a\.tif is 2D"):
        check_examples([flat, deep])
    with pytest.raises(DataError, match=r"two\.tif: has 2 channel.*a\.tif has 1.*--channel"):
        check_examples([flat, two])
    colours, alpha = (example(grid(2, 12), "c", image=np.zeros((n, *grid(2, 12).shape))) for n in (3, 4))
    with pytest.raises(DataError, match=r"--channel \(in napari, under Channel\)\. If the fourth channel is alpha"):
        check_examples([colours, alpha])
    with pytest.raises(DataError, match="no images"):
        check_examples([])


def test_voxel_size_matters_in_3d_only():
    assert check_examples([example(grid(2, 12), spacing=None)]) == []
    assert "taken to be cubes" in check_examples([example(grid(3, 12), spacing=None)])[0]
    cubes, flat = example(grid(3, 12)), example(grid(3, 12), "b", spacing=(3.0, 1.0, 1.0))
    assert "1 to 3 times as deep as wide" in check_examples([cubes, flat])[0]
    assert check_examples([flat, example(grid(3, 12), spacing=(1.5, 0.5, 0.5))]) == []


def test_more_channels_than_the_network_takes_are_refused() -> None:
    labels = np.zeros((32, 32), np.int32)
    labels[4:12, 4:12] = 1
    with pytest.raises(DataError, match=r"at most 15; choose one channel .* under Channel"):
        check_examples(from_arrays([(np.random.default_rng(0).random((16, 32, 32)), labels)]))


def test_validation_without_objects_is_refused():
    good, empty = example(grid(2, 12)), example(np.zeros((64, 64), np.int32), "b")
    with pytest.raises(DataError, match=r"b\.tif: no objects .* validation images"):
        check_examples([good], [empty])
    found = check_examples([good], [empty, replace(good, name="c")])
    assert any("without any object: 1" in warning for warning in found)
    with pytest.raises(DataError, match=r"b\.tif: no objects .* training images"):
        check_examples([empty], [good])


def test_frames_on_both_sides_of_the_split_are_spoken_of():
    first, second = (replace(example(grid(2, 12)), name=f"a {t}") for t in range(2))
    assert any("--val-group (in napari, " in warning for warning in check_examples([first], [second]))
    assert check_examples([first], [replace(second, path=Path("b.tif"))]) == []


def test_frames_of_an_array_on_both_sides_are_spoken_of():
    labels = np.stack([grid(2, 12)] * 2)
    image = ndimage.gaussian_filter(np.random.default_rng(0).random(labels.shape), (0, 1, 1))
    first, second = from_arrays([(image, labels)], axes="TYX")
    (warning,) = check_examples([first], [second])
    assert warning.startswith("Parts of image 0 are trained on")
    assert check_examples([first], from_arrays([(image, labels)], axes="TYX", called="other")) == []
    # Images of their own have no such name in common.
    one, other = (from_arrays([(image[0], labels[0])], axes="YX")[0] for _ in range(2))
    assert check_examples([one], [other]) == []


def test_planes_of_classes_are_refused():
    nuclei = grid(2, 12) > 0
    with pytest.raises(DataError, match=r"2 number.*classes"):
        check_examples([example(np.stack([nuclei, np.roll(nuclei, 1, 0)]), planes=True)])
