"""What the built package says of itself beyond `pyproject.toml`: its addresses, and a README that is read elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

ADDRESS = ""
"""Where the repository lies, such as ``https://github.com/NAME/embedseg-napari``; empty while nobody can visit it."""


class CustomMetadataHook(MetadataHookInterface):
    """Fills in ``readme`` and ``urls``."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Complete the metadata in place."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": with_addresses(text, ADDRESS)}
        metadata["urls"] = urls(ADDRESS)


def urls(address: str) -> dict[str, str]:
    """Links that package indexes show beside the description; none without an address."""
    if not address:
        return {}
    return {
        "Source": address,
        "Documentation": f"{address}/tree/main/docs",
        "Issues": f"{address}/issues",
        "Changelog": f"{address}/blob/main/CHANGELOG.md",
    }


def with_addresses(text: str, address: str) -> str:
    """The README for PyPI and the napari hub, which know no files beside it: pictures and links get the address."""
    if not address:
        return text
    text = re.sub(r"(!\[[^\]]*\]\()(?!\w+:|#)", rf"\1{address}/raw/main/", text)
    return re.sub(r"(?<!!)(\[[^\]]*\]\()(?!\w+:|#)", rf"\1{address}/blob/main/", text)
