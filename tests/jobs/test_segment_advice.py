"""Runs that advise: other models see all channels or their mean, and the fullest frame."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from skimage.transform import resize

from embedseg_napari.core.data.synthetic import nuclei
from embedseg_napari.core.events import Advice
from embedseg_napari.core.model.model import load_model
from embedseg_napari.core.runs import drain, never
from embedseg_napari.jobs import segment as jobs

if TYPE_CHECKING:
    from collections.abc import Iterator


def see_and_advise(job: jobs.SegmentJob) -> Iterator[object]:
    found = yield from jobs.segment(job, never)
    yield from jobs.advise(job, found, never)


@pytest.mark.real
def test_a_colour_image_seen_as_grey_is_given_to_a_model_that_takes_colours(shared_data) -> None:
    from embedseg_napari.core.files.tiff import list_images, read_image

    # Most such nuclei are dark and round, and found in grey as well.
    for path in list_images(shared_data("histology/train") / "images")[51::30]:
        job = jobs.SegmentJob(read_image(path).array, "YXC", "mean", "nuclei-2d", "cpu", None, {}, advise=False)
        *_, told = see_and_advise(job)
        assert isinstance(told, Advice)
        assert told.model == "nuclei-histology-2d", path
        assert told.text.endswith("try nuclei-histology-2d with all channels.")
        at_once = [event for event in jobs.segment(replace(job, advise=True), never) if isinstance(event, Advice)]
        assert [advice.model for advice in at_once] == [told.model]


@pytest.mark.parametrize("axes", ["YXC", "TCYX"])
def test_a_run_that_advises_hands_all_channels_of_its_frame_to_other_models(
    axes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []

    def note(*args: Any, **_: object) -> None:
        seen.extend(one for one in args[-1:] if one is not None)

    monkeypatch.setattr("embedseg_napari.core.inference.predictor.suggest", note)
    frames = np.random.default_rng(0).integers(1, 200, (2, 3, 64, 64)).astype(np.uint8)
    frames[0] //= 4
    image = frames if axes == "TCYX" else np.moveaxis(frames[1], 0, -1)
    drain(jobs.segment(jobs.SegmentJob(image, axes, "mean", "nuclei-2d", "cpu", None, {"seed_threshold": 1}), never))
    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0], frames[1])


def test_models_of_all_channels_are_among_the_others() -> None:
    nuclei_model = load_model("nuclei-2d", device="cpu")
    names = [name for name, _ in jobs.others_for(nuclei_model, "cpu")]
    assert "nuclei-histology-2d" not in names
    assert {*names, "nuclei-histology-2d"} == {name for name, _ in jobs.others_for(nuclei_model, "cpu", 3)}
    # The other way round, those of one channel see the mean.
    colours = load_model("nuclei-histology-2d", device="cpu")
    assert {*names, "nuclei-2d"} == {name for name, _ in jobs.others_for(colours, "cpu")}


@pytest.mark.parametrize("axes", ["TYX", "TCYX"])
def test_a_growing_colony_gets_the_advice_of_a_full_frame(axes: str) -> None:
    large = resize(nuclei((80, 80), diameter=20, seed=1).image.astype(np.float32), (480, 480), order=1)
    film = np.stack([np.full_like(large, np.median(large)), large])
    film[0, 20:90, 20:90] = large.max()
    given, channel = (film, "all") if axes == "TYX" else (np.stack([film, film], 1), "mean")
    job = jobs.SegmentJob(given, axes, channel, "nuclei-2d", "cpu", None, {}, advise=False)
    *_, told = see_and_advise(job)
    assert isinstance(told, Advice)
    assert told.changes["scale"] < 0.8


@pytest.mark.real
def test_a_film_of_bacteria_that_begins_with_two_is_given_to_a_model_of_bacteria(shared_data) -> None:
    from embedseg_napari.core.files.tiff import list_images, read_image

    paths = list_images(shared_data("ecoli/train") / "images")
    film = np.stack([read_image(path).array for path in (paths[0], paths[-1])])
    *_, told = see_and_advise(jobs.SegmentJob(film, "TYX", "all", "nuclei-2d", "cpu", None, {}, advise=False))
    assert isinstance(told, Advice)
    assert told.model == "bacteria-phase-2d"
