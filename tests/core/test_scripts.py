"""What a Python script is told: warnings at its own line, sentences in its words, short results, a bar."""

from __future__ import annotations

import io
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

import embedseg_napari as es
from embedseg_napari.core import events
from embedseg_napari.core.bar import with_bar
from embedseg_napari.core.clustering.clustering import warm_up
from embedseg_napari.core.errors import AssumptionWarning, EmbedSegWarning
from embedseg_napari.core.losses.spatial_embedding import LOOPS
from embedseg_napari.core.scripts import in_python, speaking_python, tell, warn

IMAGE, LABELS = np.zeros((16, 24), np.uint8), np.zeros((16, 24), np.int32)
MAPS = es.EmbeddingMaps(np.zeros((2, 8, 8), np.float32), np.ones((2, 8, 8), np.float32), np.zeros((8, 8), np.float32))
SETTINGS = {"epochs": 1, "minutes": None, "steps_per_epoch": 1, "batch_size": 1, "crop_size": (16, 16)}


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_imported_meanwhile() -> None:
    """What another thread imports may set Python's filters of warnings back while a test listens for some."""
    LOOPS.wait()
    warm_up(wait=True)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("name it with --axes.", "name it with axes."),
        ("for example --axes CYX", 'for example axes="CYX"'),
        ("take --channel 0.", "take channel=0."),
        (
            "give --spacing Z,Y,X (in napari, write it under Voxel).",
            "give spacing=(z, y, x) (in napari, write it under Voxel).",
        ),
        ("--val or --val-group.", "validation or validation_fraction."),
        ("set by --halo; leave out --tile-overlap.", "set by halo; leave out tile_overlap."),
        ("with --scale 0.5, or (--workers 1) --output.", "with scale=0.5, or (workers=1) output."),
        ("the parts (--part), then --finish.", "the parts (part), then finish=True."),
        ("nothing -- at all", "nothing -- at all"),
        ("torchrun --nproc_per_node 4", "torchrun --nproc_per_node 4"),
        ("/data/a--tile/b: and --old/c.tif, --axes.tif", "/data/a--tile/b: and --old/c.tif, --axes.tif"),
        ("such as --output A-labels.ome.zarr.", "such as output A-labels.ome.zarr."),
    ],
)
def test_options_become_arguments(said, meant) -> None:
    assert in_python(said) == meant
    with pytest.raises(es.EmbedSegError) as told, speaking_python():
        raise es.EmbedSegError(said)
    assert str(told.value) == meant


def test_warnings_point_to_the_script() -> None:
    with pytest.warns(AssumptionWarning, match="guessed") as seen:
        warn("guessed")
    assert seen[0].filename == __file__
    with pytest.warns(EmbedSegWarning, match='axes="ZYX"') as seen:
        tell(events.Message("say --axes ZYX", "warning"))
    assert seen[0].filename == __file__


@pytest.mark.parametrize(
    ("shape", "ndim", "axes", "guess"),
    [
        ((16, 24), 2, None, None),
        ((9, 16, 24), 2, None, "TYX"),
        ((9, 16, 24), 2, "TYX", None),
        ((8, 16, 24), 3, None, None),
        ((5, 8, 16, 24), 3, None, "TZYX"),
    ],
)
def test_only_a_guess_of_axes_is_a_warning(untrained, shape, ndim, axes, guess) -> None:
    model = untrained(ndim)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        model.predict(np.zeros(shape, np.uint8), axes, tile=16, tile_overlap=0)
    told = [one for one in seen if issubclass(one.category, AssumptionWarning)]
    assert [guess in str(one.message) for one in told] == ([True] if guess else [])
    assert all(one.filename == __file__ for one in told)


def test_a_training_on_arrays_warns_of_what_it_guesses(blobs) -> None:
    pairs = [tuple(array[:, :24, :24] for array in blobs(3))] * 2
    settings = es.TrainingConfig.parse(SETTINGS | {"crop_size": (8, 16, 16), "precision": "float32"})
    with pytest.warns(EmbedSegWarning) as seen:
        es.train(pairs, settings)
    told = [str(one.message) for one in seen]
    assert any("guessed to be ZYX" in text for text in told)
    assert any("taken to be cubes" in text and "give spacing=(z, y, x)" in text for text in told)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        es.train(pairs, settings, axes="ZYX", spacing=(2, 1, 1))
    assert not any("guessed" in str(one.message) or "cubes" in str(one.message) for one in seen)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda _: es.Example("a", IMAGE, LABELS), r"image\[None\]"),
        (lambda _: es.Example("a", IMAGE[None], LABELS[:-1]), "instances have shape"),
        (lambda _: es.Example("a", IMAGE[None].tolist(), LABELS), "not an array"),
        (lambda _: es.Example("a", IMAGE[None], LABELS, LABELS[1:] > 0), "ignore has shape"),
        (lambda _: es.train(5), "list of"),
        (lambda _: es.train(np.stack([IMAGE, IMAGE])), "list of"),
        (lambda _: es.train([IMAGE, IMAGE]), "item 0 is no pair"),
        (lambda _: es.train([([[1, 2], [3]], LABELS)]), "no array"),
        (lambda _: es.train([("a.tif", "b.tif")]), "name of a file"),
        (lambda _: es.train([(IMAGE, LABELS)], "fast"), "TrainingConfig"),
        (lambda _: es.train([(IMAGE, LABELS)], {"epochs": 1}), "TrainingConfig"),
        (lambda _: es.train([(IMAGE, LABELS)], start_from=5), "5 is no model"),
        (lambda _: es.train([(IMAGE, LABELS)], axes=5), "a letter per axis"),
        (lambda _: es.train([(IMAGE, LABELS)], spacing=5), "no pixel size"),
        (lambda _: es.train([(IMAGE, LABELS)], channel=3), "no channel 3"),
        (lambda _: es.train([(IMAGE, LABELS)], channel="DAPI"), "whole number"),
        (lambda _: es.train([(np.zeros((20, 16, 24)), LABELS)]), "channel .*, or save fewer .*with axes"),
        (lambda _: es.Trainer(None, [(IMAGE, LABELS)]), "TrainingConfig"),
        (lambda _: es.match(LABELS, LABELS, 0.5), "list of positive numbers"),
        (lambda _: es.match(LABELS, LABELS, ["half"]), "list of positive numbers"),
        (lambda _: es.medoid("mask"), "array of numbers"),
        (lambda _: es.load_model("nuclei-2d", device=5), "no device"),
        (lambda _: es.load_model(None), "name or its file"),
        (lambda _: es.cluster(IMAGE), "EmbeddingMaps"),
        (lambda _: es.cluster(MAPS, seeds="local-maxima"), "'greedy' or 'local_maxima'"),
        (lambda _: es.cluster(MAPS, seed_threshold="high"), "seed_threshold"),
        (lambda _: es.Predictor("nuclei-2d"), "load_model"),
        (lambda model: es.Predictor(model, {"tta": True}), "PredictionConfig"),
        (lambda model: model.predict("image.tif"), "read the image first"),
        (lambda model: model.predict(None), "cannot be segmented"),
        (lambda model: model.predict([IMAGE, IMAGE[1:]]), "no array"),
        (lambda model: model.predict(IMAGE, axes=5), "a letter per axis"),
        (lambda model: model.predict(IMAGE, tile="large"), "tile"),
        (lambda model: model.predict(np.zeros((2, 16, 24)), "CYX"), r"give one channel, such as image\[0\]"),
        (lambda model: model.embed(np.zeros((2, 16, 24)), "CYX"), r"give one channel, such as image\[0\]"),
        (lambda _: es.track(LABELS), 'such as TYX \\(axes="TYX"\\)'),
        (lambda _: es.track(np.stack([LABELS] * 2), trackastra="ctc"), r"give it \(image\)"),
        (lambda model: model.embed("image.tif"), "read the image first"),
    ],
)
def test_what_is_of_the_wrong_kind_is_a_sentence_in_words_of_python(untrained, call, words) -> None:
    with pytest.raises(es.EmbedSegError, match=words) as told:
        call(untrained(2))
    assert "--" not in str(told.value)


def test_results_are_shown_in_a_line(untrained, blobs) -> None:
    model = untrained(2)
    image, labels = blobs(2)
    result = es.train([(image, labels)], es.TrainingConfig.parse(SETTINGS | {"precision": "float32"}))
    found = model.predict(image)
    shown = [
        repr(one) for one in (found, found.maps, model, result, es.Example("cells", image[None], labels), model.config)
    ]
    assert all("\n" not in one and len(one) < 1200 for one in shown)
    assert all(len(one) < 100 for one in shown[:-1])
    assert "64 x 64 YX" in shown[0]
    assert "1 epoch, no score" in shown[3]
    assert shown[4] == "Example('cells', 64 x 64 pixels, 1 channel, labels)"


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


RUN = [
    events.PredictionStarted("YX", 1, 4),
    events.TileFinished(0, 2, 4),
    events.StepFinished(2, 7, 0.5, 0.1, 0.1, 0.1, 1e-3, 0.5),
]


def shown(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, *, wanted: bool = True) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    heard: list[object] = []
    with with_bar(wanted, heard.append) as listener:
        for event in RUN:
            listener(event)
    assert heard == RUN
    return stream.getvalue()


def test_a_bar_is_drawn_on_terminals_and_in_notebooks_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert "epoch 3  loss 0.500" in shown(Screen(), monkeypatch)
    assert shown(Screen(), monkeypatch, wanted=False) == ""
    assert shown(io.StringIO(), monkeypatch) == ""
    kernel = SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: kernel))
    assert "epoch 3" in shown(io.StringIO(), monkeypatch)


def test_an_output_that_goes_to_a_file_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", Screen())
    with with_bar(True, lambda event: sys.stdout.write(str(event))) as listener:
        listener(RUN[0])
    assert "PredictionStarted" in sys.stdout.getvalue()
