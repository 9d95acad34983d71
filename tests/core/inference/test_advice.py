from __future__ import annotations

import shutil
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from skimage.transform import resize

import embedseg_napari as es
from embedseg_napari.core.config import ModelConfig, NormalizationConfig, ObjectSizes, PredictionConfig
from embedseg_napari.core.data.normalization import Prepared, prepare
from embedseg_napari.core.data.synthetic import nuclei
from embedseg_napari.core.events import Advice
from embedseg_napari.core.inference.advice import Suggestion, Unknown, certainty, remark, suggest
from embedseg_napari.core.inference.observations import Observations
from embedseg_napari.core.inference.size_check import usual_width
from embedseg_napari.core.inference.trial import busiest_frame
from embedseg_napari.core.model.known_models import bundled_path, models_folder
from embedseg_napari.core.model.model import Model, load_model, others_like
from embedseg_napari.core.model.model_file import CONFIG
from embedseg_napari.core.runs import never
from embedseg_napari.jobs import segment as jobs

if TYPE_CHECKING:
    from embedseg_napari.core.inference.segmentation import Segmentation


@pytest.fixture(scope="module")
def nuclei_model() -> Model:
    return load_model("nuclei-2d", device="cpu")


def suggestion(model: Model, image: np.ndarray, **changes) -> Suggestion | Unknown | None:
    ready = prepare(image[None], model.config.normalization)
    settings = model.config.prediction.changed(changes)
    return suggest(model, settings, image[None], ready, others_like(model.config, model.path, "cpu"), never)


def advice(model: Model, image: np.ndarray, **options) -> Advice | None:
    events: list[object] = []
    model.predict(image, "YX", on_event=events.append, **options)
    told = [event for event in events if isinstance(event, Advice)]
    assert len(told) < 2
    return told[0] if told else None


def test_certainty_is_the_clear_part_of_what_may_be_object() -> None:
    seeds = np.zeros((100, 100), np.float32)
    assert certainty(seeds) == 0
    seeds[:20] = 0.95
    assert certainty(seeds) > 0.99
    seeds[20:40] = 0.5
    assert certainty(seeds) == pytest.approx(0.5, abs=0.01)


def test_a_bundled_model_asks_for_large_nuclei_to_be_shrunk_and_leaves_fitting_ones(nuclei_model: Model) -> None:
    image = nuclei((160, 160), diameter=20, seed=1).image.astype(np.float32)
    assert suggestion(nuclei_model, image) is None
    large = resize(image, (720, 720), order=1).astype(np.float32)
    found = suggestion(nuclei_model, large)
    assert isinstance(found, Suggestion)
    assert not found.model
    assert found.changes["scale"] < 0.8
    assert found.certainty > found.certainty_now
    told = advice(nuclei_model, large, advise=True)
    assert told is not None
    scale = f"{found.changes['scale']:.2g}"
    assert told.action == f"Use scale {scale}"
    assert f"try the scale {scale}." in told.text


@pytest.mark.parametrize("name", ["nuclei-2d", "cells-phase-2d"])
def test_nothing_is_suggested_for_noise_or_an_empty_image(name: str) -> None:
    model = load_model(name, device="cpu")
    assert suggestion(model, np.zeros((64, 64), np.float32)) == Unknown(None)
    assert suggestion(model, np.random.default_rng(0).normal(size=(128, 96)).astype(np.float32)) == Unknown(None)


def test_the_part_that_is_tried_is_bounded(pass_through) -> None:
    model = pass_through(2)
    raw = np.random.default_rng(0).random((5, 700, 1100)).astype(np.float32)
    ready = Prepared.as_given(raw)
    assert suggest(model, model.config.prediction, raw, ready, (), lambda: False) == Unknown(None)
    assert max(shape[-1] * shape[-2] for shape in model.network.shapes) <= 1 << 20


def test_nuclei_shown_to_the_model_of_cells_are_told_and_the_other_way_round_they_are_not(nuclei_model: Model) -> None:
    image = nuclei((256, 256), diameter=20, seed=1).image.astype(np.float32)
    told = advice(load_model("cells-phase-2d", device="cpu"), image, advise=True)
    assert told is not None
    assert (told.model, told.action) == ("nuclei-2d", "Try nuclei-2d")
    assert "try nuclei-2d." in told.text
    assert advice(nuclei_model, image, advise=True) is None


@pytest.mark.real
@pytest.mark.thorough
def test_phase_contrast_is_told_from_nuclei(shared_data, nuclei_model: Model) -> None:
    from embedseg_napari.core.files.tiff import list_images, read_image

    cells = load_model("cells-phase-2d", device="cpu")
    for folder, named in (("usiigaci/train", "cells-phase-2d"), ("dsb2018/val", "nuclei-2d")):
        for path in list_images(shared_data(folder) / "images")[::45]:
            image = read_image(path).array
            own, other = (nuclei_model, cells) if named == "nuclei-2d" else (cells, nuclei_model)
            found = suggestion(other, image)
            assert isinstance(found, Suggestion), path
            assert found.model == named, path
            kept = suggestion(own, image)
            assert kept is None or not (isinstance(kept, Unknown) or kept.model), path


def test_models_of_ones_own_are_tried_too(nuclei_model: Model) -> None:
    path = models_folder() / "mine.embedseg"
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(bundled_path("nuclei-2d"), path)
    (path.parent / "damaged.embedseg").write_bytes(b"nothing")
    config = nuclei_model.config
    # It says what it is, but its weights are none.
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(path.parent / "no_weights.embedseg", "w") as damaged:
        for name in whole.namelist():
            damaged.writestr(name, whole.read(name) if name == CONFIG else b"nothing")
    (path.parent / "gone.embedseg").symlink_to(path.parent / "nowhere.embedseg")
    assert [name for name, _ in others_like(config, nuclei_model.path, "cpu")] == [
        "bacteria-phase-2d",
        "cells-phase-2d",
        "mine",
    ]


def test_where_no_model_knows_such_images_it_is_told_with_what_helps(nuclei_model: Model) -> None:
    y, x = np.mgrid[:256, :256]
    board = np.sin(x / 4) * np.sin(y / 4)
    assert len(nuclei_model.predict(board, "YX", on_event=lambda _: None).scores) > 3
    told = advice(nuclei_model, board, advise=True)
    assert told is not None
    assert told.labels
    assert told.action == "Open Label & Train"
    assert "The model is unsure of " in told.text
    assert told.text.endswith("a few labelled objects make a model of your own.")
    with pytest.warns(es.EmbedSegWarning, match="a model of your own"):
        nuclei_model.predict(board, "YX", advise=True, progress=False)


def test_a_model_is_as_sure_as_it_ever_is_where_it_reaches_what_it_was_tested_on(nuclei_model: Model) -> None:
    y, x = np.mgrid[:256, :256]
    board = np.sin(x / 4) * np.sin(y / 4)
    found = suggestion(nuclei_model, board)
    assert isinstance(found, Unknown)

    def noted(level: float) -> Suggestion | Unknown | None:
        config = nuclei_model.config.model_copy(update={"training": {"steps": 5000, "sure_seediness": level}})
        return suggestion(Model(config, nuclei_model.network, nuclei_model.path), board)

    assert noted(0.55) is None
    assert noted(0.97) == found


def test_of_what_is_not_there_no_model_is_unsure(nuclei_model: Model) -> None:
    seen = Observations()
    image = np.random.default_rng(0).random((1, 20, 20)).astype(np.float32)
    seen.note(Prepared.as_given(image), np.zeros((20, 20), int))
    told = remark(nuclei_model.config, seen, 0, [], nuclei_model.config.prediction, None, Unknown(0.0))
    assert told is not None
    assert told.text.startswith("No object was found. No other scale")


@pytest.mark.real
@pytest.mark.thorough
def test_bacteria_are_told_from_nuclei_and_cells_but_nothing_else_is_taken_for_them(shared_data) -> None:
    from embedseg_napari.core.files.tiff import list_images, read_image

    bacteria = load_model("bacteria-phase-2d", device="cpu")
    for folder, named in (("ecoli/train", "bacteria-phase-2d"), ("bbbc010/train", ""), ("cytology/train", "")):
        for path in list_images(shared_data(folder) / "images")[-1:]:
            image = read_image(path).array.astype(np.float32)
            for name in ("nuclei-2d", "cells-phase-2d"):
                ready = prepare(image[None], bacteria.config.normalization)
                model = load_model(name, device="cpu")
                found = suggest(
                    model, model.config.prediction, image[None], ready, [("bacteria-phase-2d", bacteria)], lambda: False
                )
                assert (found.model if isinstance(found, Suggestion) else "") == named, (path, name)


@pytest.mark.real
@pytest.mark.thorough
@pytest.mark.parametrize(
    ("folder", "model", "is_known"),
    [
        ("ecoli/train", "bacteria-phase-2d", True),
        ("bbbc010/train", "nuclei-2d", False),
        ("dsb2018/val", "nuclei-2d", True),
        ("usiigaci/train", "cells-phase-2d", True),
        # Of the crowded embryos of later hours, which it segments less well, the model is unsure.
        ("bbbc050/train", "nuclei-3d", True),
    ],
)
def test_real_images_that_no_model_knows_are_told_from_those_it_does(shared_data, folder, model, is_known) -> None:
    from embedseg_napari.core.files.tiff import list_images, read_image

    paths = list_images(shared_data(folder) / "images")
    for path in [path for path in paths if "bbbc050" not in folder or "_t301" in path.name][::30]:
        found = suggestion(load_model(model, device="cpu"), read_image(path).array)
        assert isinstance(found, Unknown) != is_known, path


@pytest.mark.parametrize("frames", [1, 3])
def test_blank_and_overexposed_images_are_told(nuclei_model: Model, frames: int) -> None:
    image = nuclei((128, 128), diameter=20, seed=1).image.astype(np.float32)
    image = np.round(255 * (image - image.min()) / np.ptp(image)).astype(np.uint8)
    bright = np.clip(image.astype(int) * 20, 0, 255).astype(np.uint8)
    for given, words in (
        (np.zeros_like(image), "every pixel has the value 0."),
        (np.full_like(image, 255), "every pixel has the value 255."),
        (bright, "overexposed"),
        (bright / np.float32(255), "overexposed"),
    ):
        events: list[object] = []
        nuclei_model.predict(np.stack([given] * frames), "TYX", advise=True, on_event=events.append)
        (told,) = (event for event in events if isinstance(event, Advice))
        assert words in told.text
        assert told.level == "warning"
    with pytest.warns(es.EmbedSegWarning, match="blank"):
        nuclei_model.predict(np.zeros((64, 64)), "YX", advise=True, progress=False)
    assert advice(nuclei_model, image) is None


def test_a_blank_frame_among_others_is_told(nuclei_model: Model) -> None:
    image = nuclei((128, 128), diameter=20, seed=1).image.astype(np.float32)
    events: list[object] = []
    film = np.stack([image, np.zeros_like(image), image])
    nuclei_model.predict(film, "TYX", advise=True, on_event=events.append)
    assert [event.text for event in events if isinstance(event, Advice)] == ["Blank frames: 1 of 3."]


@pytest.mark.parametrize("lacking", [np.nan, 0.0])
def test_a_channel_that_shows_nothing_makes_an_image_neither_blank_nor_overexposed(lacking: float) -> None:
    image = np.random.default_rng(0).random((2, 40, 50)).astype(np.float32)
    image[1] = lacking
    seen = Observations()
    seen.note(prepare(image, NormalizationConfig()), np.ones((40, 50), np.int32))
    assert seen.sentences() == []


def test_a_model_that_hardly_learned_is_to_be_trained_further() -> None:
    config = ModelConfig(training={"steps": 12})
    seen = Observations()
    seen.note(
        Prepared.as_given(np.random.default_rng(0).random((1, 20, 20)).astype(np.float32)), np.zeros((20, 20), int)
    )
    told = remark(config, seen, 0, [], config.prediction)
    assert told is not None
    assert told.text.endswith("The model was trained for only 12 steps: train it further, or try another one.")


def test_where_another_model_is_surer_than_one_that_hardly_learned_both_are_told() -> None:
    config = ModelConfig(training={"steps": 48})
    told = remark(config, None, 3, [None], config.prediction, suggestion=Suggestion({}, 0.67, 0.0, "cells-phase-2d"))
    assert told is not None
    assert told.text.startswith("The model was trained for only 48 steps and may be trained further. The model cells")
    assert told.action == "Try cells-phase-2d"


@pytest.mark.parametrize(("seeds", "threshold"), [("greedy", "seed"), ("local_maxima", "foreground")])
def test_the_threshold_that_would_help_is_named(seeds: str, threshold: str) -> None:
    seen = Observations()
    image = np.random.default_rng(0).random((1, 20, 20)).astype(np.float32)
    seen.note(Prepared.as_given(image), np.zeros((20, 20), int))
    told = remark(ModelConfig(), seen, 0, [], PredictionConfig.parse({"seeds": seeds}))
    assert told is not None
    assert told.text.endswith(f"or lower the {threshold} threshold.")


def test_a_model_that_hardly_learned_is_tried_at_no_other_scale(nuclei_model: Model) -> None:
    image = nuclei((160, 160), diameter=20, seed=1).image.astype(np.float32)
    large = resize(image, (720, 720), order=1).astype(np.float32)
    young = Model(
        nuclei_model.config.model_copy(update={"training": {"steps": 129}}), nuclei_model.network, nuclei_model.path
    )
    assert isinstance(suggestion(nuclei_model, large), Suggestion)
    found = suggestion(young, large)
    assert not isinstance(found, Suggestion)
    told = Unknown(0.12, 129).advice()
    assert told.text == (
        "The model is unsure of 88 % of what it found. The model was trained for only 129 steps: train it further, or "
        "try another one."
    )
    assert not told.action


def test_nothing_where_others_were_tried_says_nothing_of_what_was_found_elsewhere(nuclei_model: Model) -> None:
    config = nuclei_model.config
    told = remark(config, None, 12, [None], config.prediction, None, Unknown(None))
    assert told is None


def test_nothing_found_is_told_with_what_is_known_to_help(nuclei_model: Model) -> None:
    image = nuclei((128, 128), diameter=20, seed=1).image.astype(np.float32)
    assert advice(nuclei_model, image, min_object_size=10_000) is None
    told = advice(nuclei_model, np.random.default_rng(0).normal(size=(64, 64)), advise=True)
    assert told is not None
    assert told.text.startswith("No object was found.")
    assert "No other scale or model is clearly better" in told.text
    assert (told.action, told.labels) == ("Open Label & Train", True)
    told = advice(nuclei_model, image, min_object_size=10_000, advise=True)
    assert told is not None
    n = len(nuclei_model.predict(image, "YX", min_object_size=0).scores)
    assert told.text.startswith(f"All {n} objects found were left out, for having no more pixels than the minimum size")
    assert told.action == "Back to the model's thresholds"
    assert told.changes == nuclei_model.config.prediction.clustering


def test_what_is_odd_comes_before_what_was_tried() -> None:
    seen = Observations()
    labels = np.zeros((20, 200), np.int32)
    for number in range(6):
        labels[2:18, 4 + 30 * number : 20 + 30 * number] = number + 1
    image = np.random.default_rng(0).random((1, 20, 200)).astype(np.float32)
    seen.note(Prepared.as_given(image), labels)
    sizes = ObjectSizes(n_objects=9, mean=(40.0, 40.0), std=(0.0, 0.0))
    config = ModelConfig(object_sizes=sizes)
    told = remark(config, seen, int(labels.max()), [usual_width(labels)], config.prediction)
    assert told is not None
    assert "about 16 pixels wide" in told.text
    assert told.text.endswith("train a model on such images.")
    told = remark(
        config,
        seen,
        int(labels.max()),
        [usual_width(labels)],
        config.prediction,
        None,
        Suggestion({"scale": 2.8}, 0.61, 0.03),
    )
    assert told is not None
    assert "about 16 pixels wide" in told.text
    assert "At the scale 2.8 the model is surer of what it finds: 61 % of it instead of 3 %" in told.text
    # Beside the button, which says the rest.
    assert told.text == f"{told.observed[:-1]}: try the scale 2.8."
    assert told.text.endswith("try the scale 2.8.")
    assert (told.action, told.changes) == ("Use scale 2.8", {"scale": 2.8})


def test_a_model_that_saw_other_channels_is_to_be_given_those() -> None:
    told = Suggestion({}, 0.61, 0.03, "tissue", channel="all").advice()
    assert told.text.endswith(": try tissue with all channels.")
    assert (told.action, told.model, told.channel) == ("Try tissue", "tissue", "all")
    told = Suggestion({}, 0.61, 0.03, "cells", channel="mean").advice()
    assert told.text.endswith(": try cells on the mean of the channels.")
    assert Suggestion({}, 0.61, 0.03, "cells").advice().text.endswith(": try cells.")


def test_grey_objects_saved_in_colours_are_found_in_the_mean_of_the_channels(nuclei_model: Model) -> None:
    grey = nuclei((160, 160), diameter=20, seed=1).image
    model = load_model("nuclei-histology-2d", device="cpu")
    events: list[object] = []
    model.predict(np.stack([grey] * 3, -1), "YXC", advise=True, on_event=events.append)
    (told,) = (event for event in events if isinstance(event, Advice))
    assert (told.model, told.channel) == ("nuclei-2d", "mean")


def test_advice_is_the_same_during_a_run_and_after_it(nuclei_model: Model) -> None:
    image = nuclei((160, 160), diameter=20, seed=1).image.astype(np.float32)
    large = resize(image, (720, 720), order=1).astype(np.float32)
    job = jobs.SegmentJob(large, "YX", "all", "nuclei-2d", "cpu", None, {}, advise=False)
    found: list[Segmentation] = []

    def run():
        found.append((yield from jobs.segment(job, never)))
        yield from jobs.advise(job, found[0], never)

    (told,) = (event for event in run() if isinstance(event, Advice) and event.action)
    assert told == advice(nuclei_model, large, advise=True)


def test_of_a_time_lapse_other_models_are_tried_on_the_busiest_frame() -> None:
    movie = np.zeros((40, 2, 90, 90), np.float32)
    movie[:, 0] = np.nan
    movie[:, :, 4, 4] = 1000
    # A glaring pixel is not a full frame.
    movie[0, :, 3, 3] = 60_000
    movie[39, :, ::2] = 900
    assert busiest_frame(movie) == 39
    assert busiest_frame(movie[:1]) == 0
    assert busiest_frame(np.full((2, 1, 90, 90), np.nan)) == 0
