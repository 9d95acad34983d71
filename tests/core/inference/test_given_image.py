"""Whether an image can be segmented by a model."""

from __future__ import annotations

import pytest

from embedseg_napari.core.config import ModelConfig
from embedseg_napari.core.errors import ModelError
from embedseg_napari.core.inference.given_image import check_fit


@pytest.mark.parametrize(("n_channels", "is_alpha"), [(4, True), (2, False)])
def test_colours_with_alpha_are_told_how_to_fit(n_channels, is_alpha):
    with pytest.raises(ModelError, match="works on 3") as refused:
        check_fit(ModelConfig(n_channels=3), (1, n_channels, 24, 24), "YXC")
    assert ("save the image as RGB" in str(refused.value)) == is_alpha
