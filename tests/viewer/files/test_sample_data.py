"""Sample data from the File menu, and samples from the network."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from npe2 import PluginManifest

import embedseg_napari as es
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.tiff import write_image
from embedseg_napari.viewer.files.public_samples import CELLS, MITOSIS, PublicSample, fetch, open_sample
from embedseg_napari.viewer.files.sample_data import nuclei_3d


@pytest.mark.parametrize("ndim", [2, 3])
def test_generated_samples_have_their_truth_beside_them(layer_viewer, ndim):
    image, truth = layer_viewer.open_sample("embedseg-napari", f"nuclei_{ndim}d")
    assert (type(image).__name__, type(truth).__name__) == ("Image", "Labels")
    assert image.ndim == truth.ndim == ndim
    assert image.data.shape == truth.data.shape
    assert truth.data.max() > 50
    np.testing.assert_allclose(image.scale, truth.scale)
    np.testing.assert_allclose(image.scale, (1.5, 0.5, 0.5)[-ndim:])
    assert {str(unit) for unit in image.units} == {"micrometer"}
    assert tuple(image.axis_labels) == tuple("zyx"[-ndim:])
    inside = truth.data > 0
    assert image.data[inside].mean() > 1.5 * image.data[~inside].mean()


def test_the_bundled_model_solves_the_image(layer_viewer):
    image, truth = layer_viewer.open_sample("embedseg-napari", "nuclei_2d")
    found = es.load_model("nuclei-2d").predict(image.data, "YX", spacing=image.scale)
    assert es.match(truth.data, found.labels)[0].ap >= 0.9


@pytest.mark.thorough
def test_the_bundled_model_finds_most_of_the_volume(layer_viewer):
    image, truth = layer_viewer.open_sample("embedseg-napari", "nuclei_3d")
    found = es.load_model("nuclei-3d").predict(image.data, "ZYX", spacing=image.scale)
    assert es.match(truth.data, found.labels, (0.5,))[0].ap >= 0.6


def test_the_menu_says_how_hard_the_volume_is_and_what_may_be_done_with_real_images():
    samples = PluginManifest.from_distribution("embedseg-napari").contributions.sample_data
    names = {sample.key: sample.display_name for sample in samples}
    assert f"{nuclei_3d()[1][0].max()} nuclei" in names["nuclei_3d"]
    for key in ("human_mitosis", "human_cells_3d"):
        assert "CC0" in names[key]


@pytest.fixture
def served(tmp_path):
    """A sample whose file lies at an address on this machine."""
    path = tmp_path / "remote.tif"
    write_image(path, np.arange(200, dtype=np.uint16).reshape(2, 10, 10), "CYX")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return path, PublicSample("dots", path.as_uri(), digest, "CYX", (0.5, 0.5), ("a", "b"))


def test_a_public_sample_is_fetched_once(served):
    path, sample = served
    ((array, options, kind),) = open_sample(sample)
    path.unlink()
    ((again, _, _),) = open_sample(sample)
    np.testing.assert_array_equal(array, again)
    assert kind == "image"
    assert options["scale"] == (1.0, 0.5, 0.5)
    assert options["metadata"] == {"channel_names": ["a", "b"]}


def test_a_changed_file_is_thrown_away(served):
    path, sample = served
    path.write_bytes(b"something else")
    with pytest.raises(DataError, match="not the file that was expected"):
        fetch(sample)


def test_a_damaged_cache_is_fetched_anew(served):
    _, sample = served
    fetch(sample).write_bytes(b"cut off")
    assert hashlib.sha256(fetch(sample).read_bytes()).hexdigest() == sample.sha256


def test_without_network_there_is_one_sentence():
    sample = PublicSample("dots", "http://127.0.0.1:9/dots.tif", "0" * 64, "YX")
    with pytest.raises(DataError, match="connect to the network and try again, or open a generated sample") as caught:
        fetch(sample)
    assert "Errno" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


def test_sums_agree_with_those_of_scikit_image():
    registry = pytest.importorskip("skimage.data._registry").registry
    assert registry["data/mitosis.tif"] == MITOSIS.sha256
    assert registry["data/cells3d.tif"] == CELLS.sha256
