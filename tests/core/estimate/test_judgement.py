"""Answers of a person, or of one who knows the truth, and what follows from them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from estimate_steps import known
from movie_steps import spoil

import embedseg_napari as es
from embedseg_napari.core.data.synthetic import nuclei
from embedseg_napari.core.errors import DataError, SettingsError
from embedseg_napari.core.estimate.judgement import Answer, Judgement, read_judgement
from embedseg_napari.core.estimate.sample import SampledObject


@pytest.fixture(scope="module")
def spoiled():
    truth = np.stack([nuclei((256, 256), diameter=16, seed=seed).labels for seed in range(3)])
    return known(truth, spoil(truth, 0.2), "TYX")


def test_intervals_hold_the_truth_in_19_of_20_samples(spoiled):
    held = []
    for seed in range(150):
        said = spoiled.judge(Judgement(spoiled.found.draw(seed=seed))).estimate()
        held.append(
            [
                said.precision.low <= spoiled.precision <= said.precision.high,
                said.missed.low <= len(spoiled.missed) <= said.missed.high,
                said.recall.low <= spoiled.recall <= said.recall.high,
            ]
        )
    assert (np.mean(held, axis=0) >= 0.95).all()


def test_estimates_are_right_in_the_mean(spoiled):
    said = [spoiled.judge(Judgement(spoiled.found.draw(seed=seed))).estimate() for seed in range(150)]
    assert np.mean([one.precision.value for one in said]) == pytest.approx(spoiled.precision, abs=0.02)
    assert np.mean([one.missed.value for one in said]) == pytest.approx(len(spoiled.missed), rel=0.1)


def test_who_stops_half_way_has_wider_intervals(spoiled):
    sample = spoiled.found.draw(seed=1)
    whole, part = (spoiled.judge(Judgement(sample), n).estimate() for n in (None, 20))
    assert part.n_judged > 0 < part.n_areas
    for one, other in ((part.precision, whole.precision), (part.missed, whole.missed), (part.recall, whole.recall)):
        assert one.high - one.low > other.high - other.low
    assert Judgement(sample).estimate().precision is None


def test_all_of_a_small_image_judged_gives_the_truth():
    truth = nuclei((64, 64), diameter=14, seed=0).labels
    case = known(truth, np.where(truth == 2, 0, truth), "YX")
    said = case.judge(Judgement(case.found.draw(seed=0))).estimate()
    assert said.precision == (1, 1, 1)
    assert said.missed == (1, 1, 1)
    assert said.recall == pytest.approx((case.recall,) * 3)


def test_labels_without_objects_have_missed_ones():
    case = known(nuclei((64, 64), diameter=14, seed=0).labels, np.zeros((64, 64), int), "YX")
    said = case.judge(Judgement(case.found.draw(seed=0))).estimate()
    assert said.precision is None
    assert said.missed.value == len(case.missed) > 0
    assert said.recall == (0, 0, 0)


def test_what_one_cannot_tell_is_left_out(spoiled):
    sample = spoiled.found.draw(3, 2, seed=0)
    said = es.estimate(sample, [True, None, False], [None, 1])
    assert (said.n_judged, said.n_areas) == (2, 1)
    assert said.precision.value == 0.5
    assert said.share == pytest.approx(sample.areas[1].n_pixels / np.prod(sample.shape))
    assert "from 2 objects and 1 area (" in str(said)
    with pytest.raises(SettingsError, match="3 objects and 2 areas"):
        es.estimate(sample, [True] * 4, [])


def test_objects_and_areas_take_turns(spoiled):
    judgement = Judgement(spoiled.found.draw(25, 9, seed=0))
    are_objects = [isinstance(step, SampledObject) for step in judgement.steps]
    assert are_objects == [True] * 10 + [False] * 3 + [True] * 10 + [False] * 3 + [True] * 5 + [False] * 3


def test_an_answer_is_taken_back(spoiled):
    judgement = Judgement(spoiled.found.draw(2, 1, seed=0))
    first = judgement.current
    judgement.answer(Answer(right=False))
    assert judgement.current is not first
    assert judgement.undo() == Answer(right=False)
    assert judgement.current is first
    assert judgement.undo() is None


def test_a_saved_judgement_is_gone_on_with(spoiled, tmp_path):
    judgement = spoiled.judge(Judgement(spoiled.found.draw(seed=2), "nuclei"), 35)
    judgement.write(tmp_path / "a.json")
    again = read_judgement(tmp_path / "a.json")
    assert (again.sample, again.labels, again.answers) == (judgement.sample, "nuclei", judgement.answers)
    assert again.estimate() == judgement.estimate()
    saved = json.loads((tmp_path / "a.json").read_text())
    assert saved["estimate"]["precision"] == judgement.estimate().precision._asdict()
    with pytest.raises(DataError, match="exists already"):
        judgement.write(tmp_path / "a.json")


def test_a_table_has_a_row_for_each_step(spoiled, tmp_path):
    judgement = spoiled.judge(Judgement(spoiled.found.draw(seed=2)), 40)
    judgement.write(tmp_path / "a.csv")
    head, *rows = (tmp_path / "a.csv").read_text().splitlines()
    assert head.startswith("kind,frame,label,bbox_min_y_px,bbox_max_y_px")
    assert len(rows) == 40
    assert sum(int(row.rpartition(",")[2]) for row in rows if row.startswith("area")) == sum(
        len(answer.missed or ()) for answer in judgement.answers
    )


@pytest.mark.parametrize(
    "change",
    [
        {"format_version": 2},
        {"answers": [{"right": True}] * 99},
        {"answers": [{"missed": [[1, 2, 3]]}]},
        {"answers": "yes"},
        {"sample": {}},
        {"shape": [3]},
        {"shape": [0, 0, 0]},
        {"n_found": 1},
        {"axes": "YX"},
    ],
)
def test_a_damaged_file_is_refused(spoiled, tmp_path, change):
    path = tmp_path / "a.json"
    spoiled.judge(Judgement(spoiled.found.draw(seed=2)), 5).write(path)
    saved = json.loads(path.read_text())
    for name, value in change.items():
        (saved if name in saved or name == "format_version" else saved["sample"])[name] = value
    path.write_text(json.dumps(saved))
    with pytest.raises(DataError, match=r"a\.json"):
        read_judgement(path)


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(DataError, match="no saved judgement"):
        read_judgement(tmp_path / "a.json")
    with pytest.raises(DataError, match="no saved judgement"):
        read_judgement(tmp_path / "missing.json")
