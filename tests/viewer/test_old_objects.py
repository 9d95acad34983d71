"""While a model trains, garbage is not looked for among the objects that were there before; afterwards it is."""

from __future__ import annotations

import subprocess
import sys

import pytest

# In processes of their own: in that of the tests there are millions of objects, and they are set aside already.
BEGIN = """
import gc
import weakref
from embedseg_napari.viewer.old_objects import OldObjects

class Ring:
    def __init__(self):
        self.me = self

old, ring = OldObjects(), Ring()
seen = weakref.ref(ring)
"""
FOUND_AFTERWARDS = """
old.set_aside()
assert gc.get_freeze_count() > 0
del ring
gc.collect()
assert seen() is not None
old.take_back()
assert gc.get_freeze_count() == 0
gc.collect()
assert seen() is None
"""
TWICE = """
other = OldObjects()
old.set_aside()
with other:
    old.take_back()
    old.take_back()
    del ring
    gc.collect()
    assert seen() is not None, "the other still has them set aside"
gc.collect()
assert seen() is None
"""
OF_OTHERS = """
gc.freeze()
with OldObjects():
    assert gc.get_freeze_count() > 0
assert gc.get_freeze_count() > 0
"""


@pytest.mark.parametrize("steps", [FOUND_AFTERWARDS, TWICE, OF_OTHERS], ids=["afterwards", "twice", "of others"])
def test_what_is_set_aside_is_left_out_until_nobody_needs_it(steps):
    subprocess.run([sys.executable, "-c", BEGIN + steps], check=True, timeout=60)
