"""JSON and YAML as anyone may have written them: plain values, bounded in depth and number, or why there are none."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

LARGEST = 64 << 20
"""Bytes of a file that is read: several times the longest session and training curve."""
PART = 1 << 20
"""Bytes that are read at once."""
DEEPEST = 40
"""Tables within tables; what this program writes has four."""
MOST = 1_000_000
"""Values in one file."""
WHOLE = 1 << 63
"""Whole numbers lie below, as NumPy and PyTorch hold them in 64 bits."""


class Unreadable(ValueError):
    """A text is not what it should be; its words follow a file name."""


def read_text(path: Path, largest: int = LARGEST) -> str:
    """Read a file of text, UTF-8.

    Raises
    ------
    Unreadable
        If it is no file (a pipe would be waited for without end), too large, or no text.
    OSError
        If it is missing or cannot be read.
    """
    kind = path.stat().st_mode
    # A shell gives what a command writes, `--config <(command)`, as a pipe of this kind; others may never end.
    is_handed_over = stat.S_ISFIFO(kind) and path.parts[:2] == ("/", "dev")
    if not (stat.S_ISREG(kind) or is_handed_over):
        raise Unreadable("is no file")
    content = bytearray()
    with path.open("rb") as file:
        # Asked for at once, the largest size would be taken from memory whatever the file has.
        while len(content) <= largest and (part := file.read(min(PART, largest + 1 - len(content)))):
            content += part
    if len(content) > largest:
        raise Unreadable(f"has more than {largest} bytes, which no such file needs")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable("is no text in UTF-8") from error


def parse_json(text: str | bytes) -> dict[str, Any]:
    """Read a table of values.

    Raises
    ------
    Unreadable
        If the text is no JSON, holds something else, or values that nothing can be made of.
    """
    try:
        values = json.loads(text)
    except RecursionError as error:
        raise Unreadable("is nested too deeply") from error
    except ValueError as error:
        raise Unreadable(f"is no valid JSON ({error})") from error
    if not isinstance(values, dict):
        raise Unreadable("holds no table of values")
    _require_plain(values)
    return values


def parse_yaml(text: str) -> Any:
    """Read values of YAML; no tag of it makes an object or runs code.

    Raises
    ------
    Unreadable
        If the text is no YAML, or holds values that nothing can be made of.
    """
    import yaml

    try:
        values = yaml.safe_load(text)
    except RecursionError as error:
        raise Unreadable("is nested too deeply") from error
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        raise Unreadable("is no valid YAML" + ("" if line is None else f" (line {line + 1})")) from error
    except (ValueError, LookupError, AttributeError, TypeError, OverflowError) as error:
        # Its constructors for dates, numbers and tags pass on whatever goes wrong in them.
        raise Unreadable("is no valid YAML: it holds a date, number or tag that cannot be read") from error
    _require_plain(values)
    return values


def _require_plain(values: Any) -> None:
    pending = [(values, 0)]
    n_values = 0
    while pending:
        value, depth = pending.pop()
        n_values += 1
        # Aliases of YAML can hold themselves, or each other a million times.
        if depth > DEEPEST or n_values > MOST:
            raise Unreadable("is nested too deeply, or holds too many values")
        if isinstance(value, dict):
            pending += [(part, depth + 1) for item in value.items() for part in item]
        elif isinstance(value, list):
            pending += [(part, depth + 1) for part in value]
        elif isinstance(value, str):
            _require_text(value)
        elif isinstance(value, int):
            if not -WHOLE < value < WHOLE:
                raise Unreadable("holds a whole number of more than 63 bits")
        elif value is not None and not isinstance(value, float):
            raise Unreadable(f"holds a {type(value).__name__}, where only text, numbers and lists can be used")


def _require_text(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Unreadable("holds text that is no valid Unicode") from error
