"""Whether two images are the same."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.files.picture import same_pixels


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float16, np.float32])
def test_images_of_every_type_are_compared(kind):
    image = np.eye(4).astype(kind)
    assert same_pixels(image, image.astype(float))
    assert not same_pixels(image, image[::-1])
    assert not same_pixels(image, image[:3])


def test_values_that_are_no_numbers_are_alike_in_the_same_places():
    image = np.ones((4, 4), np.float32)
    image[0, 1] = np.nan
    assert same_pixels(image, image.copy())
    assert not same_pixels(image, image.T)
