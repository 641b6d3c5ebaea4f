"""What the tests of templates share: a folder to write them into, and a renderer for it."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from chimewayd.templates.renderer import Renderer

Write = Callable[..., None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of templates."""
    (tmp_path / "templates").mkdir()
    return tmp_path / "templates"


@pytest.fixture
def write(folder: Path) -> Write:
    """Write the files of one template: `write("order_shipped", subject="…", text="…")`."""

    def _write(template: str, **files: str) -> None:
        (folder / template).mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / template / f"{name.replace('_json', '.json')}.j2").write_text(text)

    return _write


@pytest.fixture
async def renderer(folder: Path) -> AsyncIterator[Renderer]:
    """A renderer of the folder."""
    made = Renderer(folder)
    yield made
    await made.close()
