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


PLACES = {"scale": (1.0, 2.0, 2.0), "axis_labels": ("z", "y", "x")}


@pytest.mark.parametrize(
    ("shape", "options", "said"),
    [
        ((1, 40, 50), PLACES, ""),
        ((1, 1, 1, 40, 50), {}, ""),
        ((9, 40, 50), {}, ""),
        ((3, 40, 50), {}, "other has 3 channels, and the network that trains sees 1"),
        ((40, 50, 3), {"rgb": True}, "other has 3 channels"),
        ((9, 40, 50), PLACES, "other is a volume"),
    ],
)
def test_an_image_is_read_as_the_network_sees_it(ready, viewer, shape, options, said):
    preview = ready.preview
    preview.begin(ready.request().config, learns_from_layers=True, findings=ready.check.findings)
    other = viewer.add_image(np.random.default_rng(0).random(shape), name="other", **options)
    preview.image.choose(other)
    assert said in preview.hint.text()
    assert preview.hint.isHidden() != bool(said)
    if said:
        assert preview.view.source is None
        preview.image.choose(viewer.layers["cells"])
        assert preview.hint.isHidden()
        return
    for _ in range(2):
        preview.view.update_part()
        example = preview.view.example(None, USUAL)
        assert example.image.shape == (1, 40, 50)
    preview.show_preview(preview_of(example))
    preview.gradually.finish()
    np.testing.assert_array_equal(viewer.layers[LABELS].scale[-2:], other.scale[-2:])
    assert viewer.layers[LABELS].data.shape[-2:] == (40, 50)


@pytest.mark.parametrize("channel", [1, "mean", 3])
def test_of_an_image_with_channels_the_one_that_the_network_learns_from_is_seen(ready, viewer, channel):
    preview, image = ready.preview, np.random.default_rng(0).random((3, 40, 50)).astype(np.float32)
    other = viewer.add_image(image, name="other", axis_labels=("c", "y", "x"))
    preview.image.choose(other)
    options = {"findings": ready.check.findings, "channel": channel}
    preview.begin(ready.request().config, learns_from_layers=True, **options)
    if channel == 3:
        assert "other has 3 channels, and the network that trains sees 1" in preview.hint.text()
        return
    seen = image.mean(0) if channel == "mean" else image[channel]
    example = preview.view.example(None, NormalizationConfig(low=0, high=100))
    np.testing.assert_allclose(np.corrcoef(example.image.ravel(), seen.ravel())[0, 1], 1, atol=1e-3)
    preview.end()
