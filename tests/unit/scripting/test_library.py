"""The table of modules in `scripts/README.md` is the table that scripts are given."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from daq.scripting.child.library import LIBRARY

README = Path(__file__).parents[3] / "scripts" / "README.md"


def rows() -> str:
    """The table as the README shows it; `python -m tests.unit.scripting.test_library` prints it."""
    return "\n".join(
        "\n".join(
            textwrap.wrap(
                f"- `{title}`: {' '.join(sorted(words.split(), key=str.lower))}",
                104,
                subsequent_indent="  ",
                break_on_hyphens=False,
            )
        )
        for title, words in sorted(LIBRARY.items())
    )


def test_the_readme_lists_every_module_and_name():
    shown = re.search(r"<!-- modules -->\n(.*?)\n<!-- end -->", README.read_text(), re.DOTALL)
    assert shown, "the README has lost its marks"
    assert shown[1] == rows()


if __name__ == "__main__":
    print(rows())
