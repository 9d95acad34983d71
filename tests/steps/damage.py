"""Damage to valid files, as disks, transfers, other programs and people who mean harm do it; a seed chooses which."""

from __future__ import annotations

import copy
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import random

FEW = 7
"""Seeds of an ordinary test run."""
NASTY: tuple[Any, ...] = (
    None, True, 0, 1, -1, 7, 1.5, -0.5, 1e-320, 1e308, float("nan"), float("inf"), -float("inf"), 2**31, 2**63, 10**30,
    10**400, "", "x", "1", "inf", "nan", "../../x", "/dev/zero", "\x00", "\x1b[31m", "\u202e", "\ud800", "a" * 5000,
    [], {}, [1, 2, 3], [[]], {"x": 1}, [0.0] * 9, ["x"] * 3, -(10**9), 10**9, 65536, 8, [8, 8], [32, 32, 32],
    [10**6, 10**6],
)  # fmt: skip
"""Values that do not belong where they stand, or hardly."""
WORDS = (
    "", " ", "x", "0", "-1", "1", "0.5", "1.5", "nan", "inf", "-inf", "1e999", "1e-320", "9" * 40, "9" * 5000, "None",
    "\x1b[31mred", "\u202etxt", "\udcff", "ü", "../x", "/", "/dev/null", "/dev/zero", ".", "..", "~", "~nobody/x",
    "NUL", "con.x", "a" * 300, "a/b", "8,8", "16,16", "0,0", "8,8,8,8", "1,inf", "512,", "YX", "ZYX", "XQ", "TCZYX",
    "cuda", "cuda:99", "mps", "cpu", "greedy", "local-maxima", "[", "(", "seed_threshold=[", "tile=[8,8]", "x=1",
    "seeds=!!float x", "min_object_size=" + "[" * 500, "float16", "nuclei-2d", "-",
)  # fmt: skip
"""Words on a command line."""
YAML = (
    "2020-99-99", "2020-01-01", "[" * 2000 + "]" * 2000, "!!int x", "!!float x", "!!bool x", "!!timestamp x",
    "!!binary x", "!!python/name:os.system", "&a [*a]", "&a {b: *a}", "*nothing", "{[1]: 2}", "? [1]", "!!set {a}",
    "9" * 6000,
    ".nan", ".inf", "1:2:3", "~", "yes", "'", "\t", "- 1", "!<x> 1", "|\n  text", "0x" + "f" * 40, "1e999",
    "\ufeff", "\x07",
)  # fmt: skip
"""Values in a file of settings."""


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Some bytes of a file changed, gone, doubled or in another place."""
    content = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at, length = rng.randrange(len(content) + 1), rng.choice((1, 4, 8, 64, 1000))
        match rng.randrange(7):
            case 0:
                del content[at:]
            case 1:
                del content[at : at + length]
            case 2:
                content[at : at + length] = rng.randbytes(min(length, len(content) - at))
            case 3:
                content[at : at + 4] = rng.choice((b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f"))[: len(content) - at]
            case 4:
                content[at:at] = content[at : at + length]
            case 5:
                content[at : at + 1] = bytes([content[at] ^ (1 << rng.randrange(8))]) if at < len(content) else b""
            case 6:
                # The head says what all the rest means.
                at = rng.randrange(min(len(content), 400) + 1)
                content[at : at + 2] = rng.randbytes(min(2, len(content) - at))
    return bytes(content)


def twisted(values: Any, rng: random.Random) -> Any:
    """A table of values with one of them replaced, gone, or under another name."""
    out = copy.deepcopy(values)
    place, key = out, None
    while isinstance(place, dict | list) and place:
        inside, key = place, rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
        place = inside[key]
        if rng.random() < 0.3:
            break
    if key is None:
        return rng.choice(NASTY)
    match rng.randrange(8):
        case 0:
            del inside[key]
        case 1 if isinstance(inside, dict):
            inside[f"{key}x"] = inside.pop(key)
        case 2:
            nest: Any = []
            for _ in range(rng.choice((30, 300))):
                nest = [nest]
            inside[key] = nest
        case _:
            inside[key] = rng.choice(NASTY)
    return out


def twisted_json(text: str, rng: random.Random) -> bytes:
    """The text of a JSON file with a value twisted, or bytes damaged."""
    if rng.random() < 0.2:
        return damaged(text.encode(), rng)
    if rng.random() < 0.05:
        return rng.choice((b"[" * 100_000, b'{"a":' * 50_000, b"", b"null", b"[]", b"\xff\xfe"))
    values = json.loads(text)
    for _ in range(rng.choice((1, 1, 2, 3))):
        values = twisted(values, rng)
    return json.dumps(values).encode()


def give_seeds(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes a seed a few times, or as often as EMBEDSEG_FUZZ says; for `pytest_generate_tests`."""
    if "seed" in metafunc.fixturenames:
        many = int(os.environ.get("EMBEDSEG_FUZZ", "0"))
        extra = [pytest.param(seed, marks=pytest.mark.fuzz) for seed in range(FEW, many)]
        metafunc.parametrize("seed", [*range(FEW), *extra])
