"""What the documentation shows can be run."""

from __future__ import annotations

import contextlib
import io
import json
import re
import socket
from pathlib import Path

import numpy as np

from embedseg_napari.core.files.tiff import read_image

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE, NOTEBOOK = DOCS / "python_api.md", DOCS / "python-api.ipynb"


def test_every_snippet_of_the_python_page_runs(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    snippets = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {"__name__": "script"}
    for snippet in snippets:
        exec(compile(snippet, str(PAGE), "exec"), names)
    assert len(snippets) > 4
    assert (tmp_path / "nuclei.embedseg").is_file()


def test_every_cell_of_the_notebook_runs_without_a_network(tmp_path, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    names: dict[str, object] = {}
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
        shown = ["".join(output["text"]) for output in cell["outputs"] if output["output_type"] == "stream"]
        # As many lines as the reader sees; numbers may differ in their last digit.
        assert len(said.getvalue().splitlines()) == sum(len(text.splitlines()) for text in shown)
    saved = read_image(tmp_path / "labels.tif")
    np.testing.assert_array_equal(saved.array, names["whole"].labels)
    assert saved.spacing == names["sample"].spacing


def test_pages_link_to_what_is_there() -> None:
    """Files, pictures and other pages that Markdown and MyST name, in README and in the docs."""
    for page in (
        DOCS.parent / "README.md",
        DOCS.parent / "CONTRIBUTING.md",
        *(page for page in DOCS.rglob("*.md") if "_build" not in page.parts),
    ):
        text = page.read_text(encoding="utf-8")
        links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text)
        documents = [f"{name}.md" for name in re.findall(r"\{doc\}`(?:[^`<]*<)?([^`>]+)>?`", text)]
        downloads = re.findall(r"\{download\}`(?:[^`<]*<)?([^`>]+)>?`", text)
        for name in (*links, *documents, *downloads):
            assert (page.parent / name).exists(), f"{page.name} links to {name}"
