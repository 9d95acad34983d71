"""``embedseg info`` as a user types it."""

from __future__ import annotations

import json

from embedseg_napari.core.config import ModelConfig
from embedseg_napari.core.model.model import load_model


def test_the_card_says_what_the_model_takes(embedseg, trained):
    ended = embedseg("info", trained)
    assert ended.status == 0, ended.err
    for text in (
        "unet, 2D",
        "CYX, 1 channel",
        "Seed threshold",
        "on 6 images with 24 objects",
        "Training curve",
    ):
        assert text in ended.out
    assert "\x1b" not in ended.out


def test_json_is_the_whole_configuration(embedseg, trained):
    ended = embedseg("info", trained, "--json")
    assert ended.status == 0
    config = ModelConfig.parse(json.loads(ended.out))
    assert config.training["n_objects"] == 24
    assert len(config.history) == 1


def test_an_unknown_model_is_named(embedseg):
    ended = embedseg("info", "no-such-model")
    assert ended.status == 1
    assert "no-such-model" in ended.err


def test_scores_of_single_held_out_objects_are_not_called_images(embedseg, trained, tmp_path):
    model = load_model(trained, "cpu")
    record = {**model.config.training, "best_score": 0.5, "n_held_out_objects": 4, "n_validation_images": 0}
    model.config = model.config.model_copy(update={"training": record})
    ended = embedseg("info", model.save(tmp_path / "few.embedseg"))
    assert "it finds 50 % of the 4 held-out objects" in " ".join(ended.out.split())
    assert "image" in ended.out
    assert "held-out image" not in ended.out
