"""Labels from elsewhere beside what a model finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from embedseg_napari.core.config import NormalizationConfig
from embedseg_napari.core.data.synthetic import nuclei
from embedseg_napari.core.model.channels import with_channels
from embedseg_napari.core.model.model import load_model
from embedseg_napari.core.review.drafts import draft_queue
from embedseg_napari.core.runs import drain, never
from embedseg_napari.jobs.drafts import DraftRequest, find_drafts

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("n_channels", [1, 3])
def test_a_model_sees_the_image_as_a_round_that_starts_from_it_does(tmp_path: Path, n_channels: int) -> None:
    model = load_model("nuclei-2d", device="cpu")
    # Which goes by the type of the pixels.
    prediction = model.config.prediction.model_copy(update={"find_scale": True})
    changes = {"normalization": NormalizationConfig(method="dtype-range"), "prediction": prediction}
    model.config = model.config.model_copy(update=changes)
    path = model.save(tmp_path / "of a range")
    sample = nuclei((128, 128), diameter=20, seed=1)
    grey = sample.image.astype(np.float32)
    image = np.stack([(255 * grey / grey.max()).astype(np.uint8)] * n_channels)
    nothing = np.zeros(grey.shape, np.int32)
    request = DraftRequest(sample.labels, "truth", image, "image", nothing, "YX", model=path, device="cpu")
    events = []
    queue = drain(find_drafts(request, never), events.append)
    # Nobody asked at which scale the model sees best.
    assert events == []
    found = with_channels(model, n_channels).predict(image, "CYX").labels
    assert found.max() > 3
    expected = draft_queue(queue.segmentation.labels, nothing, found)
    assert [(one.label, one.score) for one in queue.doubts] == [(one.label, one.score) for one in expected.doubts]
