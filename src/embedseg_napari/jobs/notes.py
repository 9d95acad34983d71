"""What is told of files while they are read, for whoever shows it."""

from __future__ import annotations


class Notes:
    """Collects what is told of files while they are read; call it with a file and a sentence."""

    def __init__(self) -> None:
        self._files: dict[str, list[str]] = {}

    def __call__(self, where: str, words: str) -> None:
        """Keep a sentence."""
        self._files.setdefault(words, []).append(where)

    def sentences(self) -> tuple[str, ...]:
        """One for all files of which the same was told."""
        return tuple(
            f"{files[0]}{f' (and {len(files) - 1} more)' if len(files) > 1 else ''}: {words}"
            for words, files in self._files.items()
        )
