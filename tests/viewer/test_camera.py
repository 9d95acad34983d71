"""Where the camera looks."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.viewer.camera import show_whole


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_small_image_beside_a_large_one_fills_the_canvas(viewer, ndim):
    viewer.add_image(np.zeros((4,) * (ndim - 2) + (400, 400)))
    small = viewer.add_image(np.zeros((4,) * (ndim - 2) + (100, 50)), scale=(1,) * (ndim - 1) + (2,))
    camera = getattr(viewer, "scene", viewer).camera
    viewer.reset_view()
    whole = camera.zoom
    show_whole(viewer, small)
    assert camera.zoom == pytest.approx(4 * whole, rel=0.02)
    assert tuple(camera.center)[-2:] == pytest.approx((49.5, 49), abs=1)
