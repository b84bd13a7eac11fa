"""Ways out of the language that must all be closed, and ways out of a process that escaped it."""

# ruff: noqa: E501 - short scripts on one line

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from daq.core import Ending

ATTEMPTS = """
().__class__.__bases__[0].__subclasses__()
[c for c in ().__class__.__mro__]
(lambda: 0).__globals__
(lambda: 0).__code__
(x for x in [1]).gi_frame
(x for x in [1]).gi_code
print.__self__
device.__self__
scan.__func__
str.format('{0.__class__}', 1)
'{0.__class__}'.format(1)
'{0[0]}'.format([1])
'{x.args}'.format(x=ValueError())
'{}'.format_map({})
str.format_map('{a}', {})
getattr(str, 'format')('{0.__class__}', 1)
getattr((), '__class__')
getattr((), '__cl' + 'ass__')
hasattr((), '__class__') and 1 / 0 or 1 / 0
type(1)
object.__subclasses__()
list[int].mro()
list[int].__origin__
int.mro()
int.__subclasses__()
__builtins__
__import__('os')
__build_class__
_getattr_((), '__class__')
_words_
_halt_
_checkpoint_(1)
_import_('numpy')
_write_
globals()
locals()
vars()
dir()
open('/etc/passwd')
eval('1')
exec('1')
compile('1', 'x', 'eval')
input()
memoryview(b'x')
setattr(1, 'a', 2)
breakpoint()
BaseException
SystemExit
KeyboardInterrupt
ScriptStop
math.__loader__
math.__dict__
numpy.__dict__
numpy.ctypeslib
numpy.lib
numpy.load('x')
numpy.save('x', 1)
numpy.fromfile('x')
numpy.memmap('x')
numpy.loadtxt('x')
numpy.genfromtxt('x')
numpy.f2py
numpy.testing
numpy.ndarray((2,), buffer=b'1')
numpy.frombuffer(b'12345678')
numpy.frompyfunc(abs, 1, 1)
numpy.vectorize(abs)
numpy.zeros(2).dump('x')
numpy.zeros(2).dumps()
numpy.zeros(2).tofile('x')
numpy.zeros(2).ctypes
numpy.zeros(2).data
numpy.zeros(2).base
numpy.zeros(2).view(int)
numpy.zeros(2).setflags(write=True)
numpy.zeros(2).getfield(int)
numpy.zeros(2).resize(9)
numpy.zeros(2).dtype.type
numpy.zeros(2).dtype.newbyteorder()
numpy.float64(1).dump('x')
numpy.float64(1).data
numpy.float64.mro()
numpy.linalg.__dict__
numpy.linalg.linalg
numpy.random.bit_generator
numpy.random.default_rng().bit_generator
numpy.random.default_rng().spawn(1)
numpy.sum.__self__
numpy.sum.__wrapped__
numpy.add.at
numpy.sqrt.resolve_dtypes
random.Random
random.SystemRandom
random.os
random._os
statistics.sys
statistics.Fraction
statistics.random
time.sys
ValueError.with_traceback
ValueError().with_traceback(None)
ValueError().__traceback__
ValueError().__context__
ImportError().name_from
property(lambda self: 1).fget
device('stage').move_abs._session
device('stage')._operations
device('stage').move_abs.__call__
open_run('x')._runs
open_run('x').__exit__
DeviceError.__init__
DeviceError.__subclasses__()
DeviceError('x').__init__
super.__self__
super(1, 2)
{}.__class__
''.join.__self__
[].append.__self__
(1).real.__class__
b''.__class__
""".strip().splitlines()

PROGRAMS = {
    "match_attribute": "match ():\n    case object(__class__=c):\n        print(c)",
    "match_public_attribute": "import numpy\nmatch numpy.zeros(2):\n    case object(base=b):\n        print(b)",
    "match_dotted": "import math\nmatch 3:\n    case math.pi:\n        pass",
    "shadow_guard_by_argument": "def f(_getattr_, /):\n    return _getattr_",
    "shadow_guard_by_keyword": "def f(*, _getattr_=1):\n    pass",
    "shadow_guard_by_star": "def f(*_getattr_):\n    pass",
    "shadow_guard_by_lambda": "f = lambda _getattr_: 1",
    "shadow_guard_by_import": "import math as _getattr_",
    "shadow_guard_by_from_import": "from math import pi as _getattr_",
    "shadow_guard_by_walrus": "(_getattr_ := 1)",
    "shadow_guard_by_except": "try:\n    pass\nexcept ValueError as _getattr_:\n    pass",
    "shadow_guard_by_global": "def f():\n    global _getattr_\n    _getattr_ = 1",
    "shadow_guard_by_class": "class _getattr_:\n    pass",
    "shadow_guard_by_for": "for _getattr_ in [1]:\n    pass",
    "shadow_guard_by_with": "with open_run('x') as _getattr_:\n    pass",
    "shadow_guard_by_match": "match 1:\n    case _getattr_x:\n        pass",
    "shadow_guard_by_star_pattern": "match [1]:\n    case [*_rest]:\n        pass",
    "shadow_guard_by_mapping_pattern": "match {}:\n    case {**_rest}:\n        pass",
    "stop_the_halt_flag": "def f():\n    global _halt_\n    _halt_ = False",
    "super_rebound": "super = device\nclass A:\n    def f(self):\n        return super().__init__",
    "super_of_exception": "class E(ValueError):\n    def f(self):\n        return super().with_traceback\nE().f()",
    "exception_obj": "class E(AttributeError):\n    pass\ntry:\n    raise E(name='x', obj=[])\nexcept E as e:\n    print(e.obj)",
    "attribute_error_obj": "try:\n    device('stage').nothing\nexcept AttributeError as e:\n    print(e.obj)",
    "name_error_name": "try:\n    (lambda: unknown)()\nexcept NameError as e:\n    print(e.name)",
    "except_star": "try:\n    pass\nexcept* ValueError:\n    pass",
    "metaclass": "class A(metaclass=print):\n    pass",
    "derive_from_type": "class A(int):\n    pass",
    "derive_from_array": "import numpy\nclass A(numpy.float64):\n    pass",
    "derive_from_function": "class A(device):\n    pass",
    "slots": "class A:\n    __slots__ = ['a']",
    "class_getitem": "class A:\n    def __class_getitem__(cls, x):\n        return cls",
    "getattribute": "class A:\n    def __getattribute__(self, name):\n        return 1",
    "delete": "class A:\n    def __del__(self):\n        pass",
    "exit": "class A:\n    def __exit__(self, *a):\n        return True",
    "init_subclass": "class A:\n    def __init_subclass__(cls):\n        pass",
    "set_module_attribute": "import math\nmath.sin = 3",
    "set_function_attribute": "def f():\n    pass\nf.x = 1",
    "set_builtin_attribute": "int.x = 1",
    "set_error_attribute": "DeviceError.kind = 'x'",
    "set_hidden": "class A:\n    pass\nA().__class__ = A",
    "delete_hidden": "class A:\n    pass\ndel A().__dict__",
    "augment_hidden": "class A:\n    pass\nA().__dict__ |= {}",
    "augment_function": "import math\nmath.pi += 1",
    "import_os": "import os",
    "import_submodule": "import numpy.lib",
    "import_relative": "from . import x",
    "import_star": "from math import *",
    "import_module_attribute": "from random import Random",
    "import_codecs_by_encoding": "b'x'.decode('rot13_missing_codec')",
    "async": "async def f():\n    pass",
    "type_alias_or_parameter": "class A[T]:\n    pass",
    "finally_return": "def f():\n    try:\n        pass\n    finally:\n        return 1",
    "decorator_hidden": "@print.__self__\ndef f():\n    pass",
    "default_hidden": "def f(a=().__class__):\n    pass",
    "f_string_hidden": "f'{().__class__}'",
    "f_string_nested": "f'{1:{().__class__}}'",
    "subscript_hidden": "[1][().__class__]",
    "comprehension_hidden": "[().__class__ for x in [1]]",
    "yield_hidden": "def f():\n    yield ().__class__",
    "send_gadget": "def f():\n    x = yield\n    x.gi_frame\ng = f()\nnext(g)\ng.send(g)",
    "throw": "def f():\n    yield\ng = f()\ng.throw(ValueError)",
    "annotation_is_not_run": "x: print('ESCAPED') = 1\n1 / 0",
    "raise_stop_class": "raise GeneratorExit",
}  # fmt: skip


async def test_no_attempt_to_leave_the_language_succeeds(sandbox, bench) -> None:
    sources = {
        a: f"import math, random, statistics, time, numpy\nx = {a}\nprint('ESCAPED')"
        for a in ATTEMPTS
    }
    sources |= {name: f"{source}\nprint('ESCAPED')" for name, source in PROGRAMS.items()}
    assert len(sources) > 150
    escaped = []

    async def attempt(name: str, limiter: trio.CapacityLimiter) -> None:
        async with limiter:
            b = bench()
            with trio.move_on_after(10):
                end = await box.program(sources[name], "s.py", {}, name).run(b)
                if end.ending is Ending.FAILED and "ESCAPED" not in b.output:
                    return
            escaped.append(name)

    async with sandbox() as box:
        limiter = trio.CapacityLimiter(4)
        async with trio.open_nursery() as nursery:
            for name in sources:
                nursery.start_soon(attempt, name, limiter)
    assert escaped == []


async def test_harmless_lookalikes_work(sandbox, bench, script) -> None:
    async with sandbox() as box:
        end = await box.program(
            script("""
            def main():
                _ = "{:>5}".format("x")
                words = "a b".split()
                gi = {"format": 1}
                return [_, words, getattr(words, "nothing", 3), hasattr(words, "append"), gi["format"]]
            """),
            "s.py",
            {},
            "e",
        ).run(bench())
    assert end.result == ["    x", ["a", "b"], 3, True, 1]


SYSTEM_CALLS = """
import json, os, platform, signal, socket, sys, mmap, ctypes
from daq.scripting.child.confinement import confine
attempts = {
    "read a file": lambda: os.open("/etc/hostname", os.O_RDONLY),
    "write a file": lambda: os.open("/tmp/daq-escaped", os.O_CREAT | os.O_WRONLY),
    "list a folder": lambda: os.listdir("/"),
    "make a socket": lambda: socket.socket(),
    "make a pipe": lambda: os.pipe(),
    "make a memfd": lambda: os.memfd_create("x"),
    "change credentials": lambda: os.setuid(0),
    "raise a limit": lambda: __import__("resource").setrlimit(__import__("resource").RLIMIT_NPROC, (9, 9)),
    "change folder": lambda: os.chdir("/"),
    "stat": lambda: os.stat("/"),
    "rename": lambda: os.rename("/tmp/a", "/tmp/b"),
    "fork": lambda: os.fork(),
    "open a process": lambda: os.pidfd_open(os.getppid()),
}
deadly = {
    "execute": lambda: os.execv("/bin/true", ["true"]),
    "kill": lambda: os.kill(os.getppid(), signal.SIGTERM),
    "trace": lambda: ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0),
    "unshare": lambda: ctypes.CDLL(None).unshare(0x10000000),
    "executable memory": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC),
    "signal another thread group": lambda: ctypes.CDLL(None).syscall(
        234 if platform.machine() == "x86_64" else 131, os.getppid(), os.getppid(), 15),
}
import resource
layers = confine(256 << 20, os.getppid())
name = sys.argv[1]
if name == "gentle":
    result = {}
    for what, attempt in attempts.items():
        try:
            attempt()
            result[what] = "done"
        except (OSError, ValueError) as error:
            result[what] = "refused"
    try:
        bytearray(1 << 30)
        result["a gigabyte"] = "done"
    except MemoryError:
        result["a gigabyte"] = "refused"
    print(json.dumps([layers, result]))
else:
    deadly[name]()
    print("survived")
"""


def confined(name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-s", "-B", "-c", SYSTEM_CALLS, name],
        cwd=Path(__file__).parents[3],
        env={"PYTHONPATH": ":".join([str(Path(__file__).parents[3]), *sys.path])},
        capture_output=True,
        text=True,
        timeout=20,
    )


def test_a_process_that_escaped_the_language_reaches_nothing() -> None:
    done = confined("gentle")
    layers, result = json.loads(done.stdout)
    assert layers["seccomp"] == layers["no_new_privileges"] == "active"
    assert {what for what, how in result.items() if how != "refused"} == set(), done.stderr


@pytest.mark.parametrize(
    "name",
    ["execute", "kill", "trace", "unshare", "executable memory", "signal another thread group"],
)
def test_what_only_an_attacker_tries_kills_the_process(name) -> None:
    done = confined(name)
    assert done.returncode == -31, (done.stdout, done.stderr)  # SIGSYS
