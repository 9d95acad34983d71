"""Pages made from the program itself at build time: tables of settings, and what ``--help`` prints."""

from __future__ import annotations

import importlib
import types
import typing
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import annotated_types
from docutils import nodes
from pydantic import BaseModel
from sphinx.util.docutils import SphinxDirective
from typer.testing import CliRunner

from embedseg_napari.cli import app as command_line

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from sphinx.application import Sphinx


class SettingsTable(SphinxDirective):
    """``settings-table:: TrainingConfig``: one row per field of a settings class."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        model = getattr(importlib.import_module("embedseg_napari.core.config"), self.arguments[0])
        rows = [
            [nodes.literal(text=name), nodes.literal(text=_default(field)), _limits(field), field.description or ""]
            for name, field in model.model_fields.items()
        ]
        return [_table(["Setting", "Default", "Values", "Meaning"], rows, [20, 15, 25, 40])]


class PresetTable(SphinxDirective):
    """``preset-table:: paper``: what a preset of the training settings changes."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        config = importlib.import_module("embedseg_napari.core.config")
        usual = config.TrainingConfig()
        preset = config.TrainingConfig.preset(self.arguments[0])
        rows = [
            [nodes.literal(text=name), nodes.literal(text=_show(value)), nodes.literal(text=_show(before))]
            for name, value, before in _differences(usual, preset)
        ]
        return [_table(["Setting", self.arguments[0], "Default"], rows, [40, 30, 30])]


def _differences(usual: BaseModel, other: BaseModel, prefix: str = "") -> list[tuple[str, Any, Any]]:
    found = []
    for name in type(usual).model_fields:
        before, after = getattr(usual, name), getattr(other, name)
        if isinstance(before, BaseModel):
            found += _differences(before, after, f"{prefix}{name}.")
        elif before != after:
            found.append((prefix + name, after, before))
    return found


class CommandHelp(SphinxDirective):
    """``command-help:: train``: what ``embedseg train --help`` prints."""

    optional_arguments = 2
    # Wide enough that explanations stay on few lines.
    terminal: ClassVar[dict[str, str]] = {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "TERM": "dumb", "NO_COLOR": "1"}

    def run(self) -> list[nodes.Node]:
        words = [*self.arguments, "--help"]
        printed = CliRunner().invoke(command_line, words, prog_name="embedseg", env=self.terminal)
        if printed.exit_code != 0:
            raise self.error(f"embedseg {' '.join(words)} failed: {printed.output}")
        text = f"$ embedseg {' '.join(words)}\n{printed.output}"
        return [nodes.literal_block(text, text, language="text")]


def _show(value: object) -> str:
    if isinstance(value, BaseModel):
        return "see its table"
    return "empty" if value in (None, "", (), {}) else str(value)


def _default(field: FieldInfo) -> str:
    return "required" if field.is_required() else _show(field.get_default(call_default_factory=True))


def _limits(field: FieldInfo) -> str:
    signs = {
        annotated_types.Ge: ("ge", "≥"),
        annotated_types.Gt: ("gt", ">"),
        annotated_types.Le: ("le", "≤"),
        annotated_types.Lt: ("lt", "<"),
    }
    limits = [
        f"{signs[type(rule)][1]} {getattr(rule, signs[type(rule)][0]):g}"
        for rule in field.metadata
        if type(rule) in signs
    ]
    return ", ".join([_kind(field.annotation), *limits])


def _kind(annotation: Any) -> str:
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return " | ".join(str(part) for part in parts)
    if origin in (typing.Union, types.UnionType):
        return " or ".join("empty" if part is type(None) else _kind(part) for part in parts)
    if origin is tuple:
        return f"{_kind(parts[0])} per axis" if Ellipsis in parts else "tuple"
    names = {bool: "true | false", int: "whole number", float: "number", str: "text"}
    if annotation in names:
        return names[annotation]
    return "settings" if isinstance(annotation, type) and issubclass(annotation, BaseModel) else "mapping"


def _table(header: list[str], rows: list[list[nodes.Node | str]], widths: list[int]) -> nodes.table:
    group = nodes.tgroup(cols=len(header))
    group += [nodes.colspec(colwidth=width) for width in widths]
    group += nodes.thead("", _row(header))
    group += nodes.tbody("", *[_row(row) for row in rows])
    return nodes.table("", group)


def _row(cells: list[nodes.Node | str]) -> nodes.row:
    return nodes.row(
        "",
        *[
            nodes.entry("", nodes.paragraph("", "", nodes.Text(cell) if isinstance(cell, str) else cell))
            for cell in cells
        ],
    )


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("settings-table", SettingsTable)
    app.add_directive("preset-table", PresetTable)
    app.add_directive("command-help", CommandHelp)
    return {"version": "1", "parallel_read_safe": True}
