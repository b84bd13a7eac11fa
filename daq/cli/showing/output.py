"""The one place that decides how things are shown: JSON, plain text, or colours on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from daq.cli.showing.documents import to_json
from daq.cli.showing.visible import visible

__all__ = ["SHORT_ID", "Cell", "Output"]

UNBROKEN = 22
"""A column of a terminal's table that is not wider is never broken into lines."""

PADDING = 3
"""Between two columns of a terminal's table."""

LONGEST = 500
"""Characters of a cell that are shown."""

SHORT_ID = 8
"""Characters of an id that tell apart what a person works with."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table, or a word in a line: text, and the style that it has on a terminal."""

    text: str
    style: str = ""


class Output:
    """Prints to stdout what a command found, and to stderr what people should know besides.

    On a terminal there are colours and frames; in a pipe the same words as plain aligned text,
    without any escape sequence; with `as_json` documents only.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.console = Console(highlight=False, soft_wrap=True)
        self.errors = Console(highlight=False, soft_wrap=True, stderr=True)

    @property
    def is_live(self) -> bool:
        """Whether a display that redraws itself makes sense."""
        return not self.as_json and self.console.is_terminal

    def short(self, identifier: str) -> str:
        """An id for a table: on a terminal its first characters, which serve as well."""
        return identifier[:SHORT_ID] if self.console.is_terminal else identifier

    def show(self, document: Any, render: Callable[[Output], None]) -> None:
        """Print the document with `--json`, else let `render` show it to a person."""
        if self.as_json:
            self.document(document)
        else:
            render(self)

    def document(self, document: Any) -> None:
        """One JSON document: indented for eyes on a terminal, one line in a pipe."""
        click.echo(to_json(document, indent=2 if self.console.is_terminal else None))

    def record(self, document: Any) -> None:
        """One line of a stream of JSON documents."""
        click.echo(to_json(document))

    def line(self, *words: str | Cell) -> None:
        """One line of text."""
        self.console.print(_styled(words))

    def note(self, *words: str | Cell) -> None:
        """One line on stderr: progress and hints, never part of the result."""
        self.errors.print(_styled(words))

    def fields(self, pairs: Iterable[tuple[str, str | Cell]]) -> None:
        """Names and values below each other; pairs without a value are left out."""
        present = [(name, _cell(value)) for name, value in pairs if _cell(value).text]
        width = max((len(name) for name, _ in present), default=0)
        for name, value in present:
            self.line(Cell(f"{name:<{width}}  ", "dim"), value)

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[str | Cell]]) -> None:
        """A table; headings that end in `>` are of columns of numbers, aligned to the right.

        Where a terminal is too narrow, only columns of long texts are broken into lines; where that
        does not help, a row becomes a paragraph.
        """
        cells = [[_in_table(_cell(value)) for value in row] for row in rows]
        if not self.console.is_terminal:
            self._aligned(headings, cells)
            return
        widths = [
            max(len(heading.removesuffix(">")), *(len(row[index].text) for row in cells), 0)
            for index, heading in enumerate(headings)
        ]
        if sum(min(width, UNBROKEN) + PADDING for width in widths) <= self.console.width:
            self._framed(headings, widths, cells)
        else:
            self._paragraphs(headings, cells)

    def _paragraphs(self, headings: Sequence[str], rows: list[list[Cell]]) -> None:
        names = [heading.removesuffix(">") for heading in headings]
        for row in rows:
            self.line()
            self.fields(zip(names, row, strict=True))

    def _framed(
        self, headings: Sequence[str], widths: Sequence[int], rows: list[list[Cell]]
    ) -> None:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for heading, width in zip(headings, widths, strict=True):
            table.add_column(
                heading.removesuffix(">"),
                justify="right" if heading.endswith(">") else "left",
                no_wrap=width <= UNBROKEN,
                overflow="fold",
            )
        for row in rows:
            table.add_row(*(Text(cell.text, cell.style) for cell in row))
        self.console.print(table, soft_wrap=False)

    def _aligned(self, headings: Sequence[str], rows: list[list[Cell]]) -> None:
        head = [heading.removesuffix(">").upper() for heading in headings]
        lines = [head, *([cell.text for cell in row] for row in rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
        for line in lines:
            parts = [
                text.rjust(width) if heading.endswith(">") else text.ljust(width)
                for text, width, heading in zip(line, widths, headings, strict=True)
            ]
            click.echo("  ".join(parts).rstrip())


def _cell(value: str | Cell) -> Cell:
    return value if isinstance(value, Cell) else Cell(value)


def _in_table(cell: Cell) -> Cell:
    """On one line, whatever a name holds; `--json` has all of it."""
    text = visible(cell.text, line_end="\\n")
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 3]}..."
    return Cell(text, cell.style)


def _styled(words: Iterable[str | Cell]) -> Text:
    return Text.assemble(*((word.text, word.style) for word in map(_cell, words)))
