"""What a round is compared with."""

from types import SimpleNamespace

import numpy as np
import pytest

from embedseg_napari.core.config import ModelConfig, PredictionConfig, TrainingConfig
from embedseg_napari.core.data.example import Example
from embedseg_napari.core.inference import predictor
from embedseg_napari.core.inference.scale_search import FoundScale
from embedseg_napari.core.model.channels import with_channels
from embedseg_napari.core.model.model import Model, load_model
from embedseg_napari.core.networks.architectures import build_network
from embedseg_napari.jobs.round_comparison import compare_with_start


def test_a_round_on_a_colour_image_is_compared_with_a_start_of_one_channel(blobs):
    image, labels = blobs(2)
    # Untrained, it is sure of nothing.
    unsure = PredictionConfig(seed_threshold=0.1, foreground_threshold=0.05)
    start = Model(ModelConfig(architecture="unet", n_channels=1, prediction=unsure), build_network("unet", 2, 1))
    example = Example("colour", np.stack([image] * 3), labels)
    learned = [(example, SimpleNamespace(accepted_ids=frozenset()))]
    compared = compare_with_start(start, with_channels(start, 3), learned, TrainingConfig.preset("few"))
    assert compared.in_images.before == compared.in_images.now > 0, "it gives for their mean what it gives for one"
    assert compared.painted.n_objects == labels.max()


@pytest.mark.parametrize(("start", "n_searches"), [("nuclei-3d", 1), (None, 0)])
def test_a_scale_is_looked_for_only_with_a_bundled_start(blobs, monkeypatch, start, n_searches):
    """The other model has learned from these objects; so has a start of an earlier round."""
    image, labels = blobs(3)
    looks = PredictionConfig(find_scale=True)
    model = Model(
        ModelConfig(ndim=3, architecture="unet", grid_spacing=(1.0,) * 3, prediction=looks), build_network("unet", 3, 1)
    )
    searches = []
    monkeypatch.setattr(predictor, "find_scale", lambda *found: searches.append(found) or FoundScale(1.0, 1.0))
    learned = [(Example("a", image[None], labels), SimpleNamespace(accepted_ids=frozenset()))]
    first = model if start is None else load_model(start, "cpu")
    compare_with_start(first, model, learned, TrainingConfig.preset("few"))
    assert len(searches) == n_searches
