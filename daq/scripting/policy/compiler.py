"""From source to code, or to every reason why not."""

from __future__ import annotations

import ast
import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import CodeType

from daq.core import Diagnostic, ScriptCheck, brief
from daq.scripting.policy.checkpoints import ScriptTransformer
from daq.scripting.policy.nodes import main_function
from daq.scripting.policy.parameters import declared_parameters
from daq.scripting.policy.recovery import mistaken_lines, without_mistake
from daq.scripting.policy.rules import Finding

__all__ = ["SCRIPT", "CompiledScript", "compile_script", "too_large"]

SCRIPT = "<script>"
"""The file name in every script's code object: how its frames are told from all others."""
_MAX_DIAGNOSTICS = 100
_MAX_LINE = 400
_BEFORE = 100
"""Of a longer source line a diagnostic shows so much, from so far before its place on."""
_MAX_DESCRIPTION = 10_000


@dataclass(frozen=True, slots=True)
class CompiledScript:
    """A checked script; `code` is None when it was refused."""

    check: ScriptCheck
    code: CodeType | None = None
    has_main: bool = False
    segments: int = 0
    """Loops and plans that share the progress, one after the other."""


def compile_script(source: str, modules: Mapping[str, frozenset[str]]) -> CompiledScript:
    """Check and compile a script that may import names of `modules`; never raises for bad input."""
    source = source.replace("\r\n", "\n").replace("\r", "\n")  # as Python itself counts lines
    lines = source.split("\n")
    try:
        return _compile(source, lines, modules)
    except SyntaxError as error:
        return _refused(_mistakes(error, lines, modules))
    except (RecursionError, MemoryError):
        return _refused([_whole(lines, "the script is nested too deeply to be parsed")])
    except (ValueError, OverflowError) as error:
        return _refused([_whole(lines, f"the script cannot be parsed: {error}")])


def too_large(size: int, limit: int) -> Diagnostic:
    """The refusal of a script of `size` bytes."""
    return Diagnostic(
        1, 1, 1, 2, "SIZE", f"the script has {size} bytes, more than {limit} (max_source_bytes)"
    )


def _compile(
    source: str, lines: Sequence[str], modules: Mapping[str, frozenset[str]]
) -> CompiledScript:
    if "\0" in source:
        return _refused([_null_character(source, lines)])
    tree = ast.parse(source, SCRIPT)
    description = (ast.get_docstring(tree) or "")[:_MAX_DESCRIPTION]
    main = main_function(tree)
    parameters, findings = declared_parameters(main) if main else ((), [])
    transformer = ScriptTransformer(modules, tree)
    transformer.visit(tree)
    findings += transformer.findings
    if findings:
        return _refused(_diagnostics(findings, lines))
    code = compile(ast.fix_missing_locations(tree), SCRIPT, "exec", dont_inherit=True)
    check = ScriptCheck((), parameters, description)
    return CompiledScript(check, code, main is not None, transformer.segments)


def _refused(diagnostics: list[Diagnostic]) -> CompiledScript:
    return CompiledScript(ScriptCheck(tuple(map(_cut, diagnostics))))


def _cut(diagnostic: Diagnostic) -> Diagnostic:
    """The part of a very long source line at which somebody has to look."""
    message = diagnostic.message
    if len(message) > _MAX_LINE:
        message = brief(message)
    if len(diagnostic.text) <= _MAX_LINE:
        return replace(diagnostic, message=message)
    start = max(0, diagnostic.column - 1 - _BEFORE)
    text = diagnostic.text[start : start + _MAX_LINE]
    return replace(diagnostic, message=message, text=text, text_start=start)


def _diagnostics(findings: Sequence[Finding], lines: Sequence[str]) -> list[Diagnostic]:
    # The first ones only: to tell a column takes as long as its line is.
    first = heapq.nsmallest(_MAX_DIAGNOSTICS, dict.fromkeys(findings), key=_place)
    found = {_diagnostic(finding, lines): None for finding in first}
    return sorted(found, key=lambda d: (d.line, d.column, d.message))


def _place(finding: Finding) -> tuple[int, int, str]:
    node, _, message = finding
    return getattr(node, "lineno", 1), getattr(node, "col_offset", 0), message


def _diagnostic(finding: Finding, lines: Sequence[str]) -> Diagnostic:
    node, code, message = finding
    line = getattr(node, "lineno", 1)
    end_line = getattr(node, "end_lineno", None) or line
    column = _characters(lines, line, getattr(node, "col_offset", 0))
    end_column = _characters(lines, end_line, getattr(node, "end_col_offset", None) or 0)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        end_line, end_column = line, len(_text(lines, line).rstrip()) + 1
    return Diagnostic(line, column, end_line, end_column, code, message, _text(lines, line))


def _characters(lines: Sequence[str], line: int, offset: int) -> int:
    """A 1-based column in characters from the parser's offset in bytes of UTF-8."""
    return len(_text(lines, line).encode()[:offset].decode(errors="ignore")) + 1


def _text(lines: Sequence[str], line: int) -> str:
    return lines[line - 1] if 0 < line <= len(lines) else ""


def _syntax(error: SyntaxError, lines: Sequence[str]) -> Diagnostic:
    line = min(max(error.lineno or 1, 1), len(lines))
    column = max(error.offset or 1, 1)
    end_line = max(error.end_lineno or line, line)
    end_column = error.end_offset or 0
    if end_line == line:
        end_column = max(end_column, column + 1)
    return Diagnostic(
        line,
        column,
        end_line,
        end_column,
        "SYNTAX",
        error.msg or "invalid syntax",
        _text(lines, line),
    )


def _mistakes(
    error: SyntaxError, lines: Sequence[str], modules: Mapping[str, frozenset[str]]
) -> list[Diagnostic]:
    """A syntax error, and what else is wrong in the lines that it does not concern."""
    found = [_syntax(error, lines)]
    mended, taken_out = lines, set[int]()
    while len(found) < _MAX_DIAGNOSTICS and (concerned := mistaken_lines(error)):
        mended = without_mistake(mended, error)
        taken_out.update(concerned)
        try:
            rest = _compile("\n".join(mended), lines, modules)
        except SyntaxError as further:
            if _follows(further, error):
                break
            found.append(_syntax(further, lines))
            error = further
        except (RecursionError, MemoryError, ValueError, OverflowError):
            break
        else:
            found += [d for d in rest.check.diagnostics if d.line not in taken_out]
            break
    return sorted(found, key=lambda d: (d.line, d.column))


def _follows(further: SyntaxError, error: SyntaxError) -> bool:
    """Whether a mistake may be there only because the one before it was taken out."""
    is_before = (further.lineno or 0) <= (error.lineno or 0)
    return is_before or isinstance(further, IndentationError) or "unmatched" in further.msg


def _null_character(source: str, lines: Sequence[str]) -> Diagnostic:
    before = source[: source.index("\0")]
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    message = "a NUL character: this is not a text file"
    text = _text(lines, line).replace("\0", " ")
    return Diagnostic(line, column, line, column + 1, "SYNTAX", message, text)


def _whole(lines: Sequence[str], message: str) -> Diagnostic:
    return Diagnostic(1, 1, 1, 2, "SYNTAX", message, _text(lines, 1))
