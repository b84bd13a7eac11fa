"""The tutorial does what it says, and prints what it shows, but for the noise of numbers."""

import asyncio
import contextlib
import io
import os
import pathlib
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner

from daq.cli.main import cli

from .daemon_process import ANNOUNCEMENT, ROOT

GUIDE = ROOT / "scripts" / "guide"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^\$ daq (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
_VARYING = [
    (re.compile(r"\S+\.h5"), "FILE"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "ID"),
    (re.compile(r"[-+]?\d[\d.]*(?:e[-+]?\d+)?"), "#"),
    (re.compile(r"\s+"), " "),
    (re.compile(r"# [mµn](s|W|V)\b"), r"# \1"),
]


def alike(text):
    for pattern, replacement in _VARYING:
        text = pattern.sub(replacement, text)
    return text.strip()


def assert_shown(shown, printed):
    wanted = re.escape(alike(shown)).replace(re.escape("..."), ".*")
    assert re.fullmatch(wanted, alike(printed)), f"{shown}\n--- was printed as\n{printed}"


class Reader:
    """Somebody who reads a page and types what stands there."""

    def __init__(self):
        self.names = {}
        self.printed = ""
        self.background = []

    def read(self, page):
        for kind, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
            title = re.match(r"# (\w+\.\w+)\n", text)
            if title:
                with pathlib.Path(title[1]).open("w", encoding="utf-8") as file:
                    file.write(text)
            elif kind == "python":
                with contextlib.redirect_stdout(io.StringIO()) as output:
                    exec(compile(text, page.name, "exec"), self.names)
                self.printed = output.getvalue()
            elif kind == "text":
                assert_shown(text, self.printed)
            elif kind == "console":
                for command, shown in _COMMAND.findall(text):
                    self.type(command, shown)

    def type(self, command, shown):
        if command.endswith("&"):
            assert_shown(shown, self.start(command.removesuffix("&").split()))
            return
        done = CliRunner().invoke(cli, command.split(), catch_exceptions=False)
        assert_shown(shown, done.output)

    def start(self, arguments):
        if arguments[0] == "serve":
            self.end("serve")
            arguments += ["--port", "0"]
        process = subprocess.Popen(
            [sys.executable, "-m", "daq", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        self.background.append((arguments[0], process))
        line = process.stdout.readline()
        if announced := ANNOUNCEMENT.match(line):
            os.environ["DAQ_ADDRESS"] = announced[1]
        return line

    def end(self, command=""):
        for name, process in self.background:
            if process.poll() is None and name.startswith(command):
                process.terminate()
                process.wait(20)
                process.stdout.close()


@pytest.fixture
def reader(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAQ_ADDRESS", "")
    asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())
    reader = Reader()
    try:
        yield reader
    finally:
        if bench := reader.names.get("bench"):
            bench.close()
        reader.end()
        asyncio.set_event_loop_policy(None)


def test_the_short_answers_print_what_they_show(reader, tmp_path):
    (tmp_path / "fails.py").write_text("def main():\n    device('laser').wavelength(532)\n")
    reader.start(["serve"])
    for page in ("dark_detector", "fit_a_peak", "load_a_run", "two_readings"):
        reader.read(GUIDE / f"{page}.md")
        reader.names.pop("bench", None)


def test_every_link_of_the_guide_leads_somewhere():
    for page in GUIDE.glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_tutorial_prints_what_it_shows(reader, tmp_path):
    reader.read(GUIDE / "README.md")
    for picture in ("beam.png", "edge.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
        assert (GUIDE / "images" / picture).read_bytes().startswith(b"\x89PNG")
