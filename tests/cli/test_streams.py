"""Output that is closed, full, gone or of another encoding stops no command."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from embedseg_napari.cli.streams import SteadyStream, steady_output
from embedseg_napari.core.files.tiff import write_image

pytestmark = pytest.mark.skipif(os.name != "posix", reason="shells and devices of POSIX")


def shell(text: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command in which E is the command embedseg."""
    values = {**os.environ, "E": f"{sys.executable} -m embedseg_napari", **environment}
    return subprocess.run(["bash", "-c", text], capture_output=True, text=True, env=values, check=False)


@pytest.fixture
def images(draw, tmp_path):
    folder = tmp_path / "images"
    for name in ("a", "b", "c"):
        write_image(folder / f"{name}.tif", draw(1)[0], "YX")
    return folder


@pytest.mark.parametrize(
    "end",
    [
        "| head -1",
        *(
            pytest.param(end, marks=pytest.mark.thorough)
            for end in ("| true", ">&-", "> /dev/full", "2>&-", ">&- 2>&-", "2> /dev/full")
        ),
    ],
)
def test_all_images_are_segmented_whoever_listens(trained, images, tmp_path, end):
    if "/dev/full" in end and not Path("/dev/full").exists():
        pytest.skip("only Linux has /dev/full")
    ended = shell(f"$E predict {trained} {images} -o {tmp_path / 'out'} {end}; exit ${{PIPESTATUS[0]}}")
    assert ended.returncode == 0
    assert "Traceback" not in ended.stderr
    names = ["a.tif", "b.tif", "c.tif", "recipes", "report.html"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert ("lines of the output are lost" in ended.stderr) == (end == "> /dev/full")


def test_letters_that_the_output_does_not_know_are_written_as_numbers(trained, draw, tmp_path):
    write_image(tmp_path / "images" / "\u7ec6\u80de.tif", draw(1)[0], "YX")
    ended = shell(f"$E predict {trained} {tmp_path / 'images'} -o {tmp_path / 'out'}", PYTHONIOENCODING="cp1252")
    assert ended.returncode == 0
    assert "\\u7ec6\\u80de.tif: " in ended.stdout


def test_a_stream_passes_on_what_it_can():
    below = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    stream = SteadyStream(below)
    print("caf\u00e9 \u2192", file=stream, flush=True)
    assert below.buffer.getvalue() == b"caf\\xe9 \\u2192\n"
    below.close()
    print("more", file=stream, flush=True)
    assert not stream.isatty()


def test_streams_are_put_back(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with steady_output() as (out, _):
        assert sys.stdout is out
        out.write("nobody hears this")
    assert sys.stdout is None
