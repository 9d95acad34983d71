"""Draw the map of the source tree in CONTRIBUTING.md: ``python docs/house_map.py`` writes it anew.

Each folder is described by the first sentence of its docstring; below stand its modules.
"""

from __future__ import annotations

import ast
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "embedseg_napari"
BEGIN, END = "<!-- map: made by docs/house_map.py -->\n", "<!-- end of the map -->\n"
WIDTH = 118


def first_sentence(path: Path) -> str:
    """Return the first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def draw(folder: Path = PACKAGE, depth: int = 0) -> list[str]:
    """Return the lines of a folder: what it is for, its modules, the folders inside."""
    lines = [f"{'  ' * depth + folder.name + '/':<20}{first_sentence(folder / '__init__.py')}"]
    modules = " ".join(path.stem for path in sorted(folder.glob("[!_]*.py")))
    lines += textwrap.wrap(modules, WIDTH, initial_indent=" " * 22, subsequent_indent=" " * 22)
    for inside in sorted(path.parent for path in folder.glob("*/__init__.py")):
        lines += draw(inside, depth + 1)
    return lines


def with_map(text: str) -> str:
    """Return the text of CONTRIBUTING.md with the map of today's tree."""
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    return before + BEGIN + "```text\n" + "\n".join(draw()) + "\n```\n" + END + after


if __name__ == "__main__":
    page = ROOT / "CONTRIBUTING.md"
    page.write_text(with_map(page.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{page}: the map is that of today's tree.\n")
