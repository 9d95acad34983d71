"""What is previewed while a model trains, chosen on the page *Progress*."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from fake_training import preview_of

from embedseg_napari.core.config import NormalizationConfig
from embedseg_napari.viewer.preview.embeddings import TRUTH
from embedseg_napari.viewer.preview.preview import LABELS, SEEDS

pytestmark = pytest.mark.usefixtures("own_data", "slim_network")
USUAL = NormalizationConfig()


@pytest.fixture
def shown(ready, viewer):
    """The box, in a training whose first preview of `cells` is shown."""
    preview = ready.preview
    preview.embeddings_on.setChecked(True)
    preview.begin(ready.request().config, learns_from_layers=True)
    preview.show_preview(preview_of(preview.view.example(None, USUAL)))
    preview.gradually.finish()
    assert viewer.layers[LABELS].visible
    return preview


def test_another_image_comes_without_what_was_previewed_before(shown, viewer):
    assert TRUTH in viewer.layers
    late = preview_of(shown.view.example(None, USUAL))
    other = viewer.add_image(np.random.default_rng(0).random((64, 64)), name="other")
    assert viewer.layers[LABELS].visible
    shown.image.choose(other)
    for again in (False, True):
        # One that was under way comes too late.
        if again:
            shown.show_preview(late)
            shown.gradually.finish()
        assert not viewer.layers[LABELS].visible
        assert not viewer.layers[SEEDS].visible
        assert TRUTH not in viewer.layers
        assert not shown.keep.isEnabled()
    shown.show_preview(preview_of(shown.view.example(None, USUAL)))
    shown.gradually.finish()
    assert viewer.layers[LABELS].visible
    assert viewer.layers[LABELS].data.shape == (64, 64)
    shown.keep.click()
    assert "labels of other at step 1" in viewer.layers
