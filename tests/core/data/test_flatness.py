"""Labels opened as an image are told from images."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.data.flatness import looks_like_labels
from embedseg_napari.core.data.synthetic import nuclei


@pytest.fixture(scope="module", params=[(160, 192), (24, 64, 64)], ids=["2D", "3D"])
def pair(request):
    made = nuclei(request.param, diameter=14, seed=3)
    return made.image, made.labels


@pytest.mark.parametrize(
    "mask",
    [
        lambda labels: labels.astype(np.uint16),
        lambda labels: labels.astype(np.float32),
        lambda labels: labels > 0,
        lambda labels: np.where(labels > 0, 255, 0).astype(np.uint8),
        lambda labels: np.where(labels > 0, 0, 255).astype(np.uint8),
        lambda labels: np.stack([labels, labels]),
        lambda labels: np.pad(labels, [(900, 900)] * 2 if labels.ndim == 2 else [(3, 3), (90, 90), (90, 90)]),
    ],
    ids=["labels", "float", "bool", "binary", "inverted", "stack", "large"],
)
def test_masks_look_like_labels(pair, mask):
    assert looks_like_labels(mask(pair[1]))


@pytest.mark.parametrize(
    "image",
    [
        lambda image: image,
        lambda image: image.astype(np.float32) / 65535,
        lambda image: (image / image.max() * 255).astype(np.uint8),
        lambda image: (image / image.max() * 12).astype(np.uint8),
        lambda image: np.clip(image / image.max() * 1500, 0, 255).astype(np.uint8),
        lambda image: np.zeros_like(image),
        lambda image: image[..., :0],
    ],
    ids=["16 bit", "float", "8 bit", "dim", "bright", "blank", "empty"],
)
def test_images_do_not(pair, image):
    assert not looks_like_labels(image(pair[0]))


def test_only_a_part_of_a_lazy_stack_is_read():
    class Lazy:
        shape, read = (500, 4000, 4000), 0

        def __init__(self, shape=(500, 4000, 4000)):
            self.shape = shape

        def __getitem__(self, key):
            view = np.broadcast_to(np.uint8(0), self.shape)[key]
            if view.ndim == 2:
                Lazy.read += view.size
            return view if view.ndim == 2 else Lazy(view.shape)

    assert not looks_like_labels(Lazy())
    assert 0 < Lazy.read < 8_000_000


@pytest.mark.real
@pytest.mark.parametrize("name", ["dsb2018/val", "usiigaci/train", "histology/train", "bbbc050/train", "bbbc010/train"])
def test_real_masks_are_told_from_real_images(shared_data, name):
    from embedseg_napari.core.files.tiff import list_images, read_image

    for kind in ("images", "masks"):
        for path in list_images(shared_data(name) / kind)[::6]:
            picture = read_image(path)
            array = picture.array[..., 0] if picture.axes.endswith("C") else picture.array
            assert looks_like_labels(array) == (kind == "masks"), path
