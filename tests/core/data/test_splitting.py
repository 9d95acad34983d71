"""Held-out images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.data.example import Example
from embedseg_napari.core.data.splitting import hold_out_images, hold_out_objects, object_ids, split_validation
from embedseg_napari.core.errors import SettingsError

LOTS = (2, 8, 9, 14, 15)


def named(*names):
    return [Example(name, np.zeros((1, 4, 4)), np.zeros((4, 4), np.int32)) for name in names]


def names_of(examples):
    return [example.name for example in examples]


@settings(max_examples=60, deadline=None)
@given(n=st.integers(2, 40), fraction=st.floats(0, 0.99), seed=st.integers(0, 99))
def test_at_least_one_never_all_and_none_twice(n, fraction, seed):
    examples = named(*(f"i{index}" for index in range(n)))
    train, val = split_validation(examples, fraction, seed=seed)
    assert sorted(names_of(train) + names_of(val)) == sorted(names_of(examples))
    assert train
    assert val
    assert abs(len(val) - fraction * n) <= 1


def test_seed_decides_whatever_the_order_of_files():
    examples = named(*(f"i{index}" for index in range(20)))
    first = set(names_of(split_validation(examples, 0.3, seed=1)[1]))
    assert set(names_of(split_validation(examples[::-1], 0.3, seed=1)[1])) == first
    assert set(names_of(split_validation(examples, 0.3, seed=2)[1])) != first


def test_order_within_the_parts_is_kept():
    examples = named(*(f"i{index:02}" for index in range(20)))
    for part in split_validation(examples, 0.3):
        assert names_of(part) == sorted(names_of(part))


@pytest.mark.parametrize("pattern", [r"^Emb\d+", r"(Emb\d+)_t\d", r"Emb(\d+)"])
def test_groups_stay_together(pattern):
    examples = named(*(f"Emb{embryo}_t{frame}" for embryo in range(5) for frame in range(4)))
    train, val = split_validation(examples, 0.2, group=pattern)
    assert len(val) == 4
    assert not {name.split("_")[0] for name in names_of(train)} & {name.split("_")[0] for name in names_of(val)}


@pytest.mark.parametrize("seed", range(6))
def test_a_group_that_is_nearly_all_is_not_held_out(seed):
    examples = named(*(f"a{index}" for index in range(90)), *(f"b{index}" for index in range(10)))
    assert {name[0] for name in names_of(split_validation(examples, 0.15, group="^.", seed=seed)[1])} == {"b"}


@pytest.mark.parametrize("seed", range(6))
def test_where_every_group_is_too_large_the_smallest_is_held_out(seed):
    examples = named(*(f"a{index}" for index in range(5)), *(f"b{index}" for index in range(3)))
    assert {name[0] for name in names_of(split_validation(examples, 0.1, group="^.", seed=seed)[1])} == {"b"}


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("Z+", "matches nothing in the file name 'a1'"),
        ("(", "no regular expression"),
        (r"\w", "one group; at least two"),
        (r"a(Z)?", "first group matches nothing"),
    ],
)
def test_expressions_that_cannot_group(pattern, fault):
    with pytest.raises(SettingsError, match=fault):
        split_validation(named("a1", "a2"), 0.5, group=pattern)


def test_one_image_cannot_be_split():
    with pytest.raises(SettingsError, match="Only one image"):
        split_validation(named("a"), 0.5)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 2.0])
def test_impossible_parts(fraction):
    with pytest.raises(SettingsError, match="cannot be held out"):
        split_validation(named("a", "b"), fraction)


def many(n, name="a", planes=False):
    labels = np.zeros((6, 4 * n), np.int32)
    for index in range(n):
        labels[1:4, 4 * index : 4 * index + 3] = index + 1
    instances = np.stack([labels == i + 1 for i in range(n)]) if planes else labels
    return Example(name, np.zeros((1, *labels.shape)), instances)


@pytest.mark.parametrize("planes", [False, True])
def test_objects_held_out_are_unknown_to_the_training(planes):
    example = many(60, planes=planes)
    training, ids = hold_out_objects(example, 0.25, seed=3)
    assert 5 <= len(ids) <= 25
    held = np.isin(many(60).instances, ids)
    assert np.array_equal(training.ignore, held)
    assert set(object_ids(training)) == set(range(1, 61)) - set(ids.tolist())
    assert example.ignore is None


@settings(max_examples=30, deadline=None)
@given(n=st.integers(10, 40), more=st.integers(0, 20), seed=st.integers(0, 5))
def test_an_object_keeps_its_lot_while_more_are_painted(n, more, seed):
    few, all_of_them = (hold_out_objects(many(count), 0.3, seed)[1] for count in (n, n + more))
    assert few.tolist() == [label for label in all_of_them if label <= n]


def test_seed_and_name_decide():
    lots = [tuple(hold_out_objects(many(60, name), 0.3, seed)[1]) for name in "ab" for seed in (0, 1)]
    assert len(set(lots)) == 4
    # The same on every machine: written down once.
    assert lots[0][:5] == LOTS


def test_of_few_objects_none_is_held_out():
    example = many(9)
    training, ids = hold_out_objects(example, 0.5)
    assert training is example
    assert len(ids) == 0
    assert len(hold_out_objects(example, 0.5, n_objects=20)[1]) > 0


def test_what_is_unknown_cannot_be_held_out():
    example = many(20)
    hidden = Example("a", example.image, example.instances, example.instances <= 10)
    assert object_ids(hidden).tolist() == list(range(11, 21))
    training, ids = hold_out_objects(hidden, 0.5)
    assert ids.min() > 10
    assert np.array_equal(training.ignore, hidden.ignore | np.isin(example.instances, ids))


def test_of_few_images_none_is_held_out_unasked() -> None:
    config = TrainingConfig(validation_fraction=0.2, seed=1)
    assert hold_out_images(named("a1", "a2", "b1", "b2"), config)[1] == []
    many = named(*"abcde")
    assert hold_out_images(many, config.model_copy(update={"validation_fraction": 0.0})) == (many, [])
    assert hold_out_images(many, config) == split_validation(many, 0.2, seed=1)
    assert len(hold_out_images(many, config)[1]) == 1
    # Groups are asked for.
    assert len(hold_out_images(named("a1", "a2", "b1", "b2"), config, "^.")[1]) == 2


def with_objects(examples, *names):
    return [replace(e, instances=np.ones((4, 4), np.int32)) if e.name in names else e for e in examples]


@pytest.mark.parametrize("seed", range(8))
def test_both_parts_hold_objects(seed):
    config = TrainingConfig(seed=seed, validation_fraction=0.2)
    examples = named(*(f"i{index}" for index in range(10)))
    for some in (("i3", "i7"), ("i0", "i1", "i2")):
        train, val = hold_out_images(with_objects(examples, *some), config)
        assert len(val) == 2
        assert set(names_of(train)) & set(some)
        assert set(names_of(val)) & set(some)
    assert hold_out_images(with_objects(examples, "i4"), config)[1] == []


@pytest.mark.parametrize("of", [lambda name: {"path": Path(f"{name}.tif")}, lambda name: {"source": name}])
def test_frames_of_one_origin_stay_together_where_there_are_enough(of):
    config = TrainingConfig(validation_fraction=0.2)
    frames = [
        replace(one, **of(name))
        for name in "abcde"
        for one in with_objects(named(f"{name} 0", f"{name} 1"), f"{name} 0", f"{name} 1")
    ]
    train, val = hold_out_images(frames, config)
    assert len(val) == 2
    assert not {one.origin for one in train} & {one.origin for one in val}
    train, val = hold_out_images(frames[:6], config)
    assert len(val) == 1
