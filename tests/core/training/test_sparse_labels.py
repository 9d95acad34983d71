"""Training on images of which only a part is labelled."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from embedseg_napari.core import events
from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.data.pairs import from_arrays
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.tiff import write_image, write_labels
from embedseg_napari.core.runs import drain
from embedseg_napari.core.training.trainer import Trainer, train

pytestmark = pytest.mark.usefixtures("slim_network")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def settings(**changes):
    plain = dict.fromkeys(("scale", "shift", "gain", "offset", "gamma", "noise"), 0.0)
    values = {"minutes": None, "epochs": 1, "precision": "float32", "average_decay": 0.9, "augmentation": plain}
    return TrainingConfig.parse({**values, **changes})


def balls():
    """A volume of bright balls of 10 voxels, and their labels."""
    grid = np.indices((24, 48, 48), dtype=np.float32)
    labels = np.zeros(grid.shape[1:], np.int32)
    for number, center in enumerate([(11, 10, 12), (12, 12, 34), (10, 34, 10), (12, 34, 34)], 1):
        labels[((grid.T - center) ** 2).sum(-1).T < 5.2**2] = number
    image = np.where(labels > 0, 180, 20) + np.random.default_rng(0).normal(0, 5, labels.shape)
    return image.astype(np.float32), labels


@pytest.mark.parametrize(("z_step", "least", "most"), [(1.0, 5, 14), (5.0, 1, 4)])
def test_labels_on_a_single_plane_give_objects_as_deep_as_the_voxels_say(z_step, least, most):
    image, labels = balls()
    ignore = np.ones(labels.shape, bool)
    ignore[11] = False
    examples = from_arrays([(image, labels, ignore)], spacing=(z_step, 1.0, 1.0))
    config = settings(steps_per_epoch=30, batch_size=2, learning_rate=2e-3, crop_context=False)
    seen = []
    result = drain(Trainer(config, examples, []).run(), seen.append)
    said = [event.text for event in seen if isinstance(event, events.Message)]
    assert any("4 of 4 objects are cut off" in text for text in said)
    assert any("4 objects and 4 % of the pixels are labelled" in text for text in said)
    (begun,) = [event for event in seen if isinstance(event, events.TrainingStarted)]
    assert begun.crop_size[0] == (16 if z_step == 1 else 8)
    found = result.model.predict(image, "ZYX", seed_threshold=0.5, min_object_size=20).labels
    depths = [len(np.flatnonzero((found == i).any((1, 2)))) for i in range(1, found.max() + 1)]
    assert least <= np.median(depths) <= most


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_unknown_part_of_an_image_does_not_matter(blobs, ndim):
    image, labels = blobs(ndim)
    ignore = np.zeros(labels.shape, bool)
    ignore[..., 40:] = True
    other = np.where(ignore, labels.max() + 1 - labels, labels)
    config = settings(steps_per_epoch=3, crop_size=(8, 32, 32)[-ndim:], batch_size=2)
    by_mask = drain(Trainer(config, [(image, labels, ignore)], []).run())
    other_below = drain(Trainer(config, [(image, other, ignore)], []).run())
    valued = config.model_copy(update={"ignore_label": 99})
    by_value = drain(Trainer(valued, [(image, np.where(ignore, 99, labels))], []).run())
    assert by_mask.history[0].loss == other_below.history[0].loss == by_value.history[0].loss
    dense = drain(Trainer(config, [(image, labels)], []).run())
    assert dense.history[0].loss != by_mask.history[0].loss


def test_a_folder_is_read_with_its_value_of_unknown_pixels(blobs, tmp_path):
    image, labels = blobs(2)
    ignore = labels == 2
    for part, write, array in (("images", write_image, image), ("masks", write_labels, np.where(ignore, 77, labels))):
        (tmp_path / part).mkdir()
        write(tmp_path / part / "a.tif", array, "YX")
    config = settings(steps_per_epoch=1, crop_size=(32, 32), batch_size=1, ignore_label=77)
    result = train(tmp_path, config, validation=tmp_path)
    assert result.model.config.training["n_objects"] == labels.max() - 1
    assert result.model.config.training["settings"]["ignore_label"] == 77


def test_validation_of_which_nothing_is_known_is_refused(blobs):
    image, labels = blobs(2)
    config = settings(steps_per_epoch=1, crop_size=(32, 32), batch_size=1)
    unknown = np.ones(labels.shape, bool)
    unknown[:1] = False
    assert not labels[:1].any()
    # Nothing is known but a line of background: there is nothing to find.
    with pytest.raises(DataError, match="no objects"):
        drain(Trainer(config, [(image, labels)], [(image, labels, unknown)]).run())
