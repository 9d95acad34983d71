"""Linking by trackastra: what becomes of its answer, and what is said where it cannot be used."""

from __future__ import annotations

import logging
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import embedseg_napari as es
from embedseg_napari.core.data.dividing_cells import dividing_cells, unlinked
from embedseg_napari.core.errors import DataError, Stopped


@pytest.fixture
def movie():
    """A cell that divides, with the numbers of its frames."""
    labels = np.zeros((4, 30, 40), np.uint16)
    labels[0, 10:20, 8:28], labels[1, 10:20, 8:28] = 5, 3
    labels[2:, 10:20, 6:16], labels[2:, 10:20, 22:32] = 2, 9
    return labels


@pytest.fixture
def model(monkeypatch, tmp_path):
    """Stand in for trackastra 0.5: the links that it will find, each a pair of (time, label), and how it was asked."""
    said = SimpleNamespace(links=[], asked=None, folder=tmp_path / "general_2d")
    said.folder.mkdir()
    (said.folder / "model.pt").touch()

    class Trackastra:
        @classmethod
        def from_folder(cls, dir, device=None):
            logging.getLogger().addHandler(logging.NullHandler())
            return cls()

        def track(self, imgs, masks, mode="greedy", normalize_imgs=True, progbar_class=None, **further):
            said.asked = (imgs, masks, mode, further)
            for _ in progbar_class(range(len(masks)), desc="frames", leave=False):
                pass
            keys = {pair: key for key, pair in enumerate(dict.fromkeys(one for link in said.links for one in link))}
            nodes = {key: {"time": np.int64(time), "label": np.int64(label)} for (time, label), key in keys.items()}
            return SimpleNamespace(nodes=nodes, edges=[(keys[a], keys[b]) for a, b in said.links]), masks

    modules = {"trackastra": ModuleType("trackastra"), "trackastra.model": ModuleType("trackastra.model")}
    modules["trackastra.model"].Trackastra = Trackastra
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return said


def test_its_links_become_tracks(movie, model) -> None:
    model.links = [((0, 5), (1, 3)), ((1, 3), (2, 2)), ((1, 3), (2, 9)), ((2, 2), (3, 2))]
    image = np.stack([movie, movie * 3], 1)
    tracks = es.track(
        movie, image, image_axes="TCYX", spacing=(0.5, 0.5), max_distance=10, trackastra=model.folder, divisions=True
    )
    assert [(row.first, row.last, row.parent) for row in tracks.rows()] == [(0, 1, 0), (2, 3, 1), (2, 2, 1), (3, 3, 0)]
    assert tracks.divisions() == 1
    images, masks, mode, further = model.asked
    assert np.array_equal(images, movie * 2.0)
    assert np.array_equal(masks, movie)
    assert (mode, further) == ("greedy", {"max_distance": 20})
    es.track(movie, movie, trackastra=str(model.folder), divisions=False)
    assert model.asked[2:] == ("greedy_nodiv", {})


def test_the_name_of_a_model_that_it_keeps(movie, model, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("platformdirs.user_data_dir", lambda name: str(tmp_path / name))
    (tmp_path / "trackastra/models").mkdir(parents=True)
    model.folder.rename(tmp_path / "trackastra/models/general_2d")
    assert len(es.track(movie, movie, trackastra="general_2d").rows()) == 6
    with pytest.raises(DataError, match="let it download one"):
        es.track(movie, movie, trackastra="ctc")


def test_a_stop_is_heard_between_its_frames(movie, model) -> None:
    asked = iter([False] * 5 + [True])
    with pytest.raises(Stopped):
        es.track(movie, movie, trackastra=model.folder, should_stop=lambda: next(asked))


def test_what_it_needs_is_said(movie, model, monkeypatch) -> None:
    with pytest.raises(DataError, match="give it"):
        es.track(movie, trackastra=model.folder)
    monkeypatch.setattr(sys.modules["trackastra.model"].Trackastra, "track", lambda *_, **__: 1 / 0)
    with pytest.raises(DataError, match="cannot link these objects"):
        es.track(movie, movie, trackastra=model.folder)
    monkeypatch.setattr(sys.modules["trackastra.model"].Trackastra, "from_folder", lambda *_, **__: 1 / 0)
    with pytest.raises(DataError, match="cannot read this model"):
        es.track(movie, movie, trackastra=model.folder)
    monkeypatch.setitem(sys.modules, "trackastra.model", None)
    with pytest.raises(DataError, match="pip install trackastra"):
        es.track(movie, movie, trackastra=model.folder)


@pytest.mark.filterwarnings("ignore")
def test_trackastra_itself_runs(tmp_path) -> None:
    # In no environment of this project: it is the user's own.
    model = pytest.importorskip("trackastra.model")
    shape = {"coord_dim": 2, "feat_dim": 7, "d_model": 32, "nhead": 2, "num_encoder_layers": 1}
    model.TrackingTransformer(**shape, num_decoder_layers=1, window=4, causal_norm="quiet_softmax").save(tmp_path)
    (tmp_path / "train_config.yaml").write_text("features: wrfeat\n")
    labels = unlinked(dividing_cells(12, 6, 3, seed=2).labels)
    assert len(es.track(labels, labels * 2.0, trackastra=tmp_path)) == len(es.track(labels))
