"""Output that never stops the work: readers leave, disks of logs fill up, terminals close, consoles lack letters."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

LEFT = (errno.EPIPE, errno.EIO, errno.EBADF)
"""Nobody reads any more: a pipe whose reader ended, a terminal that was closed."""


class SteadyStream(io.TextIOBase):
    """A text stream in the place of another one, whose faults it takes.

    Parameters
    ----------
    stream : text stream
        Where the text goes as long as that works.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.lost: OSError | None = None
        """Why text was lost that somebody may still wait for, such as a log on a full disk."""
        self._is_gone = False

    def write(self, text: str) -> int:
        """Write a text; letters that the stream does not know as their numbers."""
        if not self._is_gone:
            try:
                self._write(text)
            except (OSError, ValueError) as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Bring what was written to its reader, if there is one."""
        if not self._is_gone:
            try:
                self.stream.flush()
            except (OSError, ValueError) as error:
                self._give_up(error)

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return not self._is_gone and self.stream.isatty()

    def fileno(self) -> int:
        """Number of the file."""
        return self.stream.fileno()

    def writable(self) -> bool:
        """Whether it can be written to; always."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Encoding of the stream."""
        return self.stream.encoding or "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        """What happens to letters that the stream does not know."""
        return "backslashreplace"

    @property
    def buffer(self) -> Any:
        """The bytes beneath."""
        return self.stream.buffer

    def _write(self, text: str) -> None:
        try:
            self.stream.write(text)
        except UnicodeEncodeError:
            encoding = self.encoding
            self.stream.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def _give_up(self, error: Exception) -> None:
        self._is_gone = True
        if isinstance(error, OSError) and error.errno not in LEFT:
            self.lost = error
        # What waits in the stream is written when Python ends; then, nothing may fail any more.
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.stream.fileno())
            os.close(null)


@contextmanager
def steady_output() -> Iterator[tuple[SteadyStream, SteadyStream]]:
    """Let nothing that is written to standard output and standard error fail; both are yielded."""
    before = sys.stdout, sys.stderr
    # Without a standard output, as with >&- or in a program without a console, the next file would get its number.
    out, err = (SteadyStream(open(os.devnull, "w") if one is None else one) for one in before)  # noqa: SIM115
    sys.stdout, sys.stderr = out, err
    try:
        yield out, err
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before
        for stream, old in zip((out, err), before, strict=True):
            if old is None:
                stream.stream.close()
