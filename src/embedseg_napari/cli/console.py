"""What the commands write: results and progress to standard output, warnings and errors to standard error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from embedseg_napari.core.bar import is_terminal as redraws
from embedseg_napari.core.wording import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embedseg_napari.core.events import Message


def is_terminal() -> bool:
    """Whether standard output is a terminal that can redraw a line."""
    return redraws(sys.stdout)


def say(text: str) -> None:
    """Write a line of the run's story."""
    print(printable(text), flush=True)


def complain(text: str) -> None:
    """Write a line that must not be missed."""
    print(printable(text), file=sys.stderr, flush=True)


def tell(message: Message) -> None:
    """Write a message of a run according to its level."""
    if message.level == "warning":
        complain(f"Warning: {message.text}")
    else:
        say(message.text)


def tell_messages(event: object) -> None:
    """Write an event of a run if it is a message."""
    from embedseg_napari.core.events import Message

    if isinstance(event, Message):
        tell(event)


def show_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> None:
    """Write a table; its first `left` columns are aligned left, the others right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(printable(title)),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_header=any(header),
        pad_edge=False,
    )
    for number, name in enumerate(header):
        table.add_column(Text(printable(name)), justify="left" if number < left else "right", overflow="fold")
    for row in rows:
        table.add_row(*[Text(printable(cell)) for cell in row])
    # A log gets neither colours nor lines cut at the width of a terminal it does not have.
    terminal = is_terminal()
    Console(force_terminal=terminal, color_system="auto" if terminal else None, width=None if terminal else 120).print(
        table
    )
