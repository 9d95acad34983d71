"""JSON files read value by value, so that a list of a million objects takes the memory of one."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, TextIO

from embedseg_napari.core.files.documents import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PART = 1 << 20
"""Characters that are read at once."""
SPACE = re.compile(r"[ \t\n\r]*")


def fields(value: Any, what: str) -> dict[str, Any]:
    """What a part of a file says by names.

    Raises
    ------
    ValueError
        If it is something else.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{what} is no table of names and values")
    return value


def json_parts(path: Path, largest: int) -> Iterator[tuple[str, Any]]:
    """Read the outermost table or list of a file; what it holds in lists comes one by one.

    Parameters
    ----------
    path : Path
        The file.
    largest : int
        Bytes that it may have.

    Yields
    ------
    key : str
        In the table; empty for the elements of a list that is not in a table, and for a value that is neither.
    value : object
        What is there, or one element of the list that is there; nothing comes of an empty list.

    Raises
    ------
    Unreadable
        If it is larger, or no valid JSON; what came before is what the file says up to there.
    OSError
        If it cannot be read.
    """
    if path.stat().st_size > largest:
        raise Unreadable(f"has more than {largest} bytes, which no such file needs")
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = _Text(file)
            if text.next() == "{":
                for key in text.names():
                    yield from ((key, value) for value in text.elements_or_value())
            else:
                yield from (("", value) for value in text.elements_or_value())
            if text.next():
                raise Unreadable("is no valid JSON (something follows its end)")
    except UnicodeDecodeError as error:
        raise Unreadable("is no text in UTF-8") from error
    except json.JSONDecodeError as error:
        raise Unreadable(f"is no valid JSON ({error.msg})") from error
    except RecursionError as error:
        raise Unreadable("is nested too deeply") from error


class _Text:
    """The part of a file that was read and not yet understood."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._text, self._at, self._is_complete = file, "", 0, False
        self._decode = json.JSONDecoder().raw_decode

    def next(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            found = SPACE.match(self._text, self._at)
            assert found is not None
            self._at = found.end()
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def value(self) -> Any:
        """The next value, whole."""
        self.next()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except json.JSONDecodeError:
                # Half a value is none; whether it is whole shows when more is read.
                if not self._more():
                    raise
                continue
            if end == len(self._text) and self._more():
                # A number may go on.
                continue
            self._at = end
            return value

    def elements_or_value(self) -> Iterator[Any]:
        """The elements of the list that comes next, or the value."""
        if self.next() != "[":
            yield self.value()
            return
        self._at += 1
        if self.next() == "]":
            self._at += 1
            return
        while True:
            yield self.value()
            if self._step("]"):
                return

    def names(self) -> Iterator[str]:
        """The names in the table that comes next; the value of each is to be taken before the next one."""
        self._at += 1
        if self.next() == "}":
            self._at += 1
            return
        while True:
            key = self.value() if self.next() == '"' else None
            if key is None or self.next() != ":":
                raise json.JSONDecodeError("Expecting a name and a colon", "", 0)
            self._at += 1
            yield key
            if self._step("}"):
                return

    def _step(self, end: str) -> bool:
        """Pass a comma, or the end, of which is told."""
        sign = self.next()
        if sign not in (",", end) or not sign:
            raise json.JSONDecodeError("Expecting a comma", "", 0)
        self._at += 1
        return sign == end

    def _more(self) -> bool:
        """Read on, at least as much again as is kept; whether there was more."""
        if self._is_complete:
            return False
        kept = self._text[self._at :]
        read = self._file.read(max(PART, len(kept)))
        self._text, self._at, self._is_complete = kept + read, 0, not read
        return bool(read)
