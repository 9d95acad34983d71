"""A training learns."""

from __future__ import annotations

from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.runs import drain
from embedseg_napari.core.training.trainer import Trainer


def test_learns_a_simple_image(blobs):
    image, labels = blobs(2)
    config = TrainingConfig(
        epochs=1,
        minutes=None,
        steps_per_epoch=140,
        batch_size=2,
        precision="float32",
        crop_size=(64, 64),
        average_decay=0.9,
        learning_rate=2e-3,
        augmentation=dict.fromkeys(("scale", "shift", "gain", "offset", "gamma", "noise"), 0.0),
    )
    result = drain(Trainer(config, [(image, labels)], [(image, labels)]).run())
    assert result.best_score is not None
    assert result.history[-1].ap_50 > 0.25
