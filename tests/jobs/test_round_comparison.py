"""What a round is compared with."""

from types import SimpleNamespace

import numpy as np

from embedseg_napari.core.config import ModelConfig, PredictionConfig, TrainingConfig
from embedseg_napari.core.data.example import Example
from embedseg_napari.core.model.channels import with_channels
from embedseg_napari.core.model.model import Model
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
