"""Regenerates everything that is derived from `proto/`: `python -m daq.wire.generate [--check]`.

Two things are derived: the betterproto package `daq.wire.generated`, and the descriptor set from
which the daemon answers reflection (betterproto keeps no descriptors). Needs the `dev` extra.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

__all__ = ["main"]

PROTO = Path(__file__).resolve().parents[2] / "proto"
GENERATED = Path(__file__).resolve().parent / "generated"
DESCRIPTORS = "daq.desc"


def main(arguments: list[str] | None = None) -> int:
    """Write the generated files, or with --check only compare them; 1 when they have drifted."""
    parser = argparse.ArgumentParser(prog="python -m daq.wire.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        _generate(fresh)
        drifted = _drifted(fresh)
        if not options.check:
            _install(fresh, drifted)
    for name in drifted:
        print(f"{'drifted' if options.check else 'written'}: {GENERATED / name}")
    return 1 if options.check and drifted else 0


def _generate(target: Path) -> None:
    # The plugin of this interpreter, not one that happens to be on PATH.
    plugin = Path(sys.executable).parent / "protoc-gen-python_betterproto"
    result = subprocess.run(
        [
            sys.executable,
            *("-m", "grpc_tools.protoc"),
            f"--proto_path={PROTO}",
            f"--plugin=protoc-gen-python_betterproto={plugin}",
            f"--python_betterproto_out={target}",
            f"--descriptor_set_out={target / DESCRIPTORS}",
            "--include_imports",
            *sorted(path.name for path in PROTO.glob("*.proto")),
        ],
        check=False,
        capture_output=True,  # the plugin prints every file that it writes
        text=True,
    )
    if result.returncode:
        sys.exit(result.stderr)


def _files(folder: Path) -> Iterable[str]:
    return (
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )


def _drifted(fresh: Path) -> list[str]:
    """Names that differ between the fresh files and the installed ones, on either side."""
    return [
        name
        for name in sorted({*_files(fresh), *_files(GENERATED)})
        if _content(fresh / name) != _content(GENERATED / name)
    ]


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _install(fresh: Path, names: Iterable[str]) -> None:
    for name in names:
        target = GENERATED / name
        if not (fresh / name).exists():
            target.unlink()
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((fresh / name).read_bytes())


if __name__ == "__main__":
    sys.exit(main())
