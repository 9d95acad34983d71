"""While a model trains, garbage is not looked for among the objects that were there before; afterwards it is."""

from __future__ import annotations

import gc
import weakref

import pytest

from embedseg_napari.viewer.old_objects import OldObjects


class Ring:
    """Holds itself."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def nothing_aside():
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_what_becomes_garbage_meanwhile_is_found_afterwards():
    old, ring = OldObjects(), Ring()
    seen = weakref.ref(ring)
    old.set_aside()
    assert gc.get_freeze_count() > 0
    del ring
    gc.collect()
    assert seen() is not None
    old.take_back()
    assert gc.get_freeze_count() == 0
    gc.collect()
    assert seen() is None


def test_what_others_have_set_aside_stays_there():
    gc.freeze()
    with OldObjects():
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() > 0
