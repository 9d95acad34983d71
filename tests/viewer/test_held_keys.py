"""Keys that panels hold for a while: each comes back to whom it was of."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Labels

from embedseg_napari.viewer.held_keys import HeldKeys


@pytest.fixture
def owner():
    layer = Labels(np.ones((4, 4), int))
    layer.bind_key("C", lambda _: None)
    layer.bind_key("Q", lambda _: None)
    return layer


def actions(heard, keys="CU"):
    return {key: lambda key=key: heard.append(key) for key in keys}


@pytest.mark.parametrize("alone", [False, True])
def test_keys_do_what_they_did_before(owner, alone):
    before, heard, keys = dict(owner.keymap), [], HeldKeys()
    keys.hold(owner, actions(heard), alone)
    assert [str(key) for key in owner.keymap if owner.keymap[key] not in before.values()] == ["C", "U"]
    assert ("Q" in [str(key) for key in owner.keymap]) is not alone
    for key in ("C", "U"):
        {str(bound): action for bound, action in owner.keymap.items()}[key](owner)
    assert heard == ["C", "U"]
    keys.release()
    assert owner.keymap == before


def test_keys_that_somebody_else_took_meanwhile_are_left(owner):
    first, second = HeldKeys(), HeldKeys()
    first.hold(owner, actions([]), alone=True)
    second.hold(owner, actions([], "CN"))
    taken = {str(key): action for key, action in owner.keymap.items()}
    first.release()
    now = {str(key): action for key, action in owner.keymap.items()}
    assert sorted(now) == ["C", "N", "Q"]
    assert now["C"] is taken["C"]


def test_what_is_held_anew_is_let_go_where_it_was(owner):
    other, keys = Labels(np.ones((4, 4), int)), HeldKeys()
    before = dict(owner.keymap)
    keys.hold(owner, actions([]))
    keys.hold(other, actions([]))
    assert owner.keymap == before
    keys.release()
    assert not other.keymap
