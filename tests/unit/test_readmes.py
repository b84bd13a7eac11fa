"""What the READMEs name is there: files, and the ends of their links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("daq", "proto", "scripts", "tests")
READMES = [ROOT / "README.md", *(p for f in FOLDERS for p in sorted((ROOT / f).rglob("README.md")))]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("readme", READMES, ids=relative)
def test_its_links_lead_somewhere(readme):
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", readme.read_text())
    assert [target for target in targets if not (readme.parent / target).exists()] == []


@pytest.mark.parametrize("readme", READMES, ids=relative)
def test_the_modules_that_it_names_exist(readme):
    names = set(re.findall(r"`([\w/]+\.py)`", readme.read_text()))
    modules = [f"/{relative(path)}" for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    assert {n for n in names if not any(path.endswith(f"/{n}") for path in modules)} == set()


NAME = r"`((?![\w./]+\.py`)[\w.]+)`"
STEP = re.compile(rf"`([\w/]+\.py)`, {NAME}(?: and {NAME})?")


@pytest.mark.parametrize("readme", READMES, ids=relative)
def test_the_functions_that_it_names_are_in_their_files(readme):
    for file, *names in STEP.findall(readme.read_text()):
        found = [p for folder in FOLDERS for p in (ROOT / folder).rglob(Path(file).name)]
        texts = [p.read_text() for p in found if str(p).endswith(f"/{file}")]
        for name in filter(None, names):
            words = [rf"\b(?:def|class) {part}\b" for part in name.split(".")]
            assert any(all(re.search(w, text) for w in words) for text in texts), (file, name)


WALKS = re.split(
    r"^### ", (ROOT / "daq/README.md").read_text().split("## Four walks")[1], flags=re.MULTILINE
)


def hops(walk: str) -> list[tuple[str, ...]]:
    return [
        step for line in re.findall(r"^\d+\..*", walk, re.MULTILINE) for step in STEP.findall(line)
    ]


@pytest.mark.parametrize("walk", WALKS[1:], ids=lambda walk: walk.splitlines()[0])
def test_each_hop_of_a_walk_names_a_file_of_its_own_place(walk):
    steps = hops(walk)
    assert len(steps) >= 10
    assert [file for file, *_ in steps if not (ROOT / "daq" / file).is_file()] == []
    assert "..." in walk or len(steps) >= len(re.findall(r"^\d+\.", walk, re.MULTILINE))


def test_a_record_passes_twenty_files_at_most():
    (record,) = (walk for walk in WALKS if walk.startswith("A record"))
    assert len({file for file, *_ in hops(record)}) <= 20
