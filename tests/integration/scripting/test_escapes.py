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
numpy.frombuffer(b'12345678', dtype='O')
numpy.ndarray.__new__
numpy.dtype('O').type
numpy.frompyfunc(abs, 1, 1)
numpy.vectorize(abs).pyfunc
numpy.errstate().__enter__
numpy.poly1d([1]).__dict__
numpy.ndenumerate(numpy.zeros(1)).iter
numpy.finfo(float).machar
numpy.random.mtrand
numpy.random.seed.__self__
numpy.polynomial.polyutils
numpy.polynomial.Polynomial.__init_subclass__
functools.partial(abs).func
functools.lru_cache(abs).__wrapped__
functools.wraps(abs)
functools.singledispatch(abs)
collections.abc
collections.UserDict
collections.namedtuple('A', 'x')._make
collections.namedtuple('A', '__class__')
collections.namedtuple('A', 'x, y): import os #')
itertools.chain.__reduce__
json.JSONEncoder
json.decoder
datetime.sys
datetime.datetime.mro()
datetime.timezone.__subclasses__()
dataclasses.fields
dataclasses.make_dataclass('A', ['x'])
dataclasses.dataclass(int)
dataclasses.sys
enum.EnumType
enum.Enum.mro()
enum.Enum._member_map_
enum.Enum('A', 'x').__class__
scipy.LowLevelCallable
scipy.special.cython_special
scipy.special._ufuncs
scipy.optimize.OptimizeResult
scipy.optimize.minimize.__globals__
scipy.optimize.minimize_scalar(lambda x: x * x).__class__
scipy.stats.norm._ctor_param
scipy.stats.norm.generic_moment
scipy.stats.rv_continuous
scipy.signal.os
scipy.ndimage.generic_filter
scipy.interpolate.interp1d([1, 2], [1, 2])._call
scipy.integrate.quad.__wrapped__
scipy.io
scipy.fft.set_workers(2)
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
(lambda: 0).__closure__
(lambda: 0).__defaults__
(lambda: 0).__kwdefaults__
(lambda: 0).__builtins__
(lambda: 0).__reduce__()
(lambda: 0).__get__(1)
(x for x in [1]).gi_yieldfrom
(x for x in [1]).throw(ValueError)
(x for x in [1]).gi_suspended
getattr((x for x in [1]), 'gi_frame')
getattr((x for x in [1]), 'gi_' + 'frame').f_back
getattr(getattr, '__self__')
getattr(print, '__func__')
getattr(scan, '__func__')
getattr(sleep, '__self__')
getattr(record, '__func__').__globals__
getattr(device, '__wrapped__')
getattr(random.random, '__self__')
getattr(random.shuffle, '__func__')
getattr(numpy.sum, '__wrapped__')
getattr(numpy.linalg.norm, '__globals__')
getattr(numpy.random.default_rng(), '__reduce__')()
getattr([], '__reduce_ex__')(2)
getattr(numpy, '__loader__')
getattr(numpy, '_names')
getattr(math, 'get')('sin', 1)
getattr(math, 'missing')('x')
getattr(device('stage'), '_session')
getattr(device('stage').stop, '_session')
getattr(open_run('x'), '_runs')
getattr('', 'format_map')({})
getattr(str, 'format_map')('{a}', {})
list(map(str.format, ['{0.__class__}'], [1]))
list(map(getattr, [()], ['__class__']))
sorted([()], key=lambda v: v.__class__)
max([()], key=lambda v: getattr(v, '__class__'))
[getattr(v, '__class__') for v in [1]]
{getattr(1, '__class__'): 1}
'{:{}}'.format(1, ().__class__)
'{0.real}'.format(1)
'{0!r:{1.real}}'.format(1, 2)
'{a[0]}'.format(a=[1])
'{0._session}'.format(device('stage'))
f'{device("stage")._session}'
object.__new__(object)
object.__init_subclass__()
int.__init__(1)
int.from_bytes.__self__
dict.fromkeys.__self__
dict.mro()
type.__call__(object)
super().__init__.__self__
Exception.__init__(1)
Exception('x').__init__('y')
Exception.__reduce__(1)
ValueError.mro()
ValueError('x').__cause__
ValueError('x').__suppress_context__
ValueError('x').__notes__
NameError('x').name
AttributeError('x', obj=1).obj
ImportError('x', path='/').path
OSError(1, 'x', '/etc/passwd').filename
StopIteration(1).__class__
UnicodeError('x').object
DaqError.kind.__class__
DaqError('x').with_traceback(None)
property(print).fget
property(print).__get__(1)
property.fget
slice(1).indices(3)
range(3).__reduce__()
zip([1]).__reduce__()
map(abs, [1]).__reduce__()
enumerate([1]).__reduce__()
reversed([1]).__setstate__(0)
bytearray(b'x').__alloc__()
frozenset().__class__
complex(1).__class__
Ellipsis.__class__
NotImplemented.__class__
None.__class__
True.__class__
numpy.float64(1).data
numpy.float64(1).tobytes.__self__
numpy.float64(1).setfield(1, int)
numpy.float64.__new__(numpy.float64)
numpy.zeros(2).dtype.fields
numpy.zeros(2).dtype.metadata
numpy.zeros(2).dtype.base
numpy.zeros(2).dtype.subdtype
numpy.zeros(2).__array_interface__
numpy.zeros(2).__array_struct__
numpy.zeros(2).__array_function__
numpy.zeros(2).__reduce__()
numpy.zeros(2).__dlpack__()
numpy.zeros(2).byteswap(True)
numpy.zeros(2).choose([1])
numpy.zeros(2).partition(1)
numpy.zeros(2).put(0, 1)
numpy.zeros(2).flat
numpy.zeros(2).strides
numpy.zeros(2).flags
numpy.zeros(2).device
numpy.zeros(2).shape.__class__
numpy.add.signature
numpy.add.types
numpy.add.reduceat([1], [0])
numpy.linalg.LinAlgError
numpy.linalg.lapack_lite
numpy.random.RandomState
numpy.random.default_rng().bytes(3)
numpy.array([print]).item().__self__
numpy.array([object()], dtype=object).tolist()[0].__class__
numpy.lib.stride_tricks
numpy.core
numpy.ma
numpy.char
numpy.os
numpy.sys
numpy.compat
numpy.source
numpy.who
numpy.info
numpy.lookfor
numpy.show_config()
numpy.seterrcall(print)
numpy.fromregex
numpy.savez
numpy.getbufsize
numpy.get_include()
numpy.nditer
numpy.broadcast
numpy.record
numpy.rec
numpy.DataSource
numpy.busdaycalendar
statistics.NormalDist
statistics.attrgetter
statistics.numbers
statistics.itemgetter
random.seed.__self__
random.getstate
random._urandom
time.tzset
time.get_clock_info
math.sin.__self__
math.sin.__module__
cmath.sqrt.__self__
linspace.__code__
linspace.__globals__
sleep.__self__._link
now.__self__
checkpoint.__self__
progress.__self__
log.__self__
scan.__self__
count.__globals__
device.__func__
devices.__self__
arange.__builtins__
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
    # What past advisories of RestrictedPython were about.
    "cve_2023_37271_frames": "def g():\n    yield [f for f in [x.gi_frame.f_back.f_back for x in gen]]\ngen = [(y for y in [1])]\nnext(g())",
    "cve_2023_37271_by_getattr": "gen = (x for x in [1])\nframe = getattr(gen, 'gi_' + 'frame')\nprint(frame.f_back)",
    "cve_2023_41039_format": "print('{0.__class__.__init__.__globals__}'.format(device))",
    "cve_2023_41039_format_by_getattr": "f = getattr('{0.__class__}', 'format')\nprint(f(device))",
    "cve_2023_41039_class_format": "print(str.format('{0.__class__}', device))",
    "cve_2023_41039_through_map": "print(list(map('{0.__class__}'.format, [device])))",
    "cve_2024_47532_obj": "try:\n    device.nothing\nexcept AttributeError as e:\n    print(e.obj)",
    "cve_2024_47532_string": "import string\nprint(string.Formatter().get_field('0.__class__', [1], {}))",
    "cve_2025_22153_except_star": "try:\n    raise ValueError\nexcept* (ValueError, 1):\n    pass",
    "cve_2026_55830_positional": "def f(_getattr_, a, /):\n    return a.__class__\nf(getattr, 1)",
    "cve_2026_55830_lambda": "(lambda _write_, /: _write_)(1)",
    "cve_2026_76825_formatter": "from string import Formatter",
    "unpack_attribute": "class A: pass\nA().__dict__, x = 1, 2",
    "walrus_in_comprehension": "[_getattr_ := 1 for x in [1]]",
    "for_attribute_target": "class A: pass\nfor A.__bases__ in [1]:\n    pass",
    "with_attribute_target": "import math\nwith open_run('x') as math.sin:\n    pass",
    "augment_function_attribute": "device.x += 1",
    "augment_place": "_attributeplace_(device, 'x')",
    "augment_item_place": "_itemplace_({}, 1).store(1)",
    "augment_direct": "_augment_(1, '+=', 2)",
    "del_builtin": "del print.__self__",
    "global_builtins": "def f():\n    global __builtins__\n    __builtins__ = {}\nf()",
    "class_body_builtins": "class A:\n    __builtins__ = {}",
    "class_body_import": "class A:\n    __import__ = print",
    "class_attribute_guard": "class A:\n    _getattr_ = print",
    "class_name_mangling": "class A:\n    def f(self):\n        return self.__x",
    "class_cell": "class A:\n    def f(self):\n        return __class__",
    "class_module": "class A:\n    __module__ = 'os'",
    "class_qualname": "class A:\n    __qualname__ = 'x'",
    "class_match_args": "class A:\n    __match_args__ = ('__class__',)\nmatch A():\n    case A(x):\n        print(x)",
    "class_dict_by_match": "class A:\n    pass\nmatch A():\n    case A(__dict__=d):\n        print(d)",
    "class_reduce": "class A:\n    def __reduce__(self):\n        return print, ()",
    "class_format": "class A:\n    def __format__(self, spec):\n        return self.__class__",
    "class_index": "class A:\n    def __index__(self):\n        return 1",
    "class_set_name": "class A:\n    def __set_name__(self, owner, name):\n        owner.__x = 1",
    "class_prepare": "class A:\n    def __prepare__(*a):\n        return {}",
    "class_instancecheck": "class A:\n    def __instancecheck__(self, x):\n        return True",
    "class_mro_entries": "class A:\n    def __mro_entries__(self, bases):\n        return (int,)\nclass B(A()):\n    pass",
    "class_bases_star": "class A(*[int]):\n    pass",
    "class_keyword_star": "class A(**{'metaclass': print}):\n    pass",
    "class_of_devices": "class A(DeviceProxy):\n    pass",
    "class_of_generator": "def g():\n    yield\nclass A(g()):\n    pass",
    "class_of_property": "class A(property):\n    pass",
    "class_of_super": "class A(super):\n    pass",
    "super_attribute": "class A:\n    def f(self):\n        return super().__getattribute__('__class__')\nA().f()",
    "super_of_object": "class A:\n    def f(self):\n        return super().mro\nA().f()",
    "super_self": "class A:\n    def f(self):\n        return super().__self__\nA().f()",
    "exception_class_getattr": "class E(Exception):\n    pass\nE.with_traceback",
    "exception_instance_traceback": "try:\n    1 / 0\nexcept Exception as e:\n    getattr(e, '__trace' + 'back__').tb_frame",
    "exception_group": "ExceptionGroup('x', [ValueError()])",
    "exception_context": "try:\n    1 / 0\nexcept Exception as e:\n    print(e.__context__)",
    "exception_args_of_guard": "try:\n    device('stage').nothing\nexcept AttributeError as e:\n    print(e.args[0].__class__)",
    "exception_name_of_guard": "try:\n    {}.nothing\nexcept AttributeError as e:\n    print(e.name, e.obj)",
    "decorated_class": "@property\nclass A:\n    pass\nprint(A.fget)",
    "lambda_default": "f = lambda a=().__class__: a",
    "annotation_with_value": "def f(a: ().__class__ = ().__class__):\n    pass",
    "star_import_guard": "from numpy import __loader__",
    "import_dunder": "import __main__",
    "import_builtins": "import builtins",
    "import_as_guard": "import numpy as __builtins__",
    "import_daq": "from daq.scripting.child import session",
    "import_ctypes": "import ctypes",
    "import_of_facade": "import numpy.random.mtrand",
    "future_annotations_eval": "from __future__ import annotations\ndef f(a: print('x')):\n    pass\nf.__annotations__",
    "bytes_format": "b'%s'.__mod__(1)",
    "encode_codec": "'x'.encode('zip_codec_that_imports_os')",
    "int_to_class": "(1).__class__.__base__.__subclasses__()",
    "list_in_place": "x = [1]\nx.__class__ = dict",
    "device_set": "device('stage').move_abs = print",
    "device_delete": "del device('stage').move_abs",
    "run_set": "with open_run('x') as run:\n    run.id = 'y'",
    "run_metadata_object": "with open_run('x', a=device):\n    pass",
    "record_object": "record('meter', x=lambda: 0)",
    "device_by_object": "class A(str): pass\ndevice(A('stage'))",
    "operation_by_object": "device('stage').move_abs(object())",
    "numpy_callback": "import numpy as np\nclass A:\n    def __array__(self):\n        return 1\nnp.array(A())",
    "numpy_ufunc_hook": "import numpy as np\nclass A:\n    def __array_ufunc__(self, *a):\n        return 1",
    "numpy_object_array": "import numpy as np\nnp.array([print]).dump('x')",
    "numpy_structured": "import numpy as np\nnp.zeros(1, dtype='O')[0].__class__",
    "numpy_where_out": "import numpy as np\nnp.where.__wrapped__",
    "numpy_dtype_attack": "import numpy as np\nnp.zeros(1).astype('V8').view('O')",
    "numpy_negative_strides": "import numpy as np\nnp.zeros(4).strides = (1 << 40,)",
    "numpy_shape_set": "import numpy as np\nnp.zeros(4).shape = (2, 2)",
    "numpy_pickle": "import numpy as np\nnp.zeros(4).__setstate__((1,))",
}  # fmt: skip


IMPORTS = """import math, random, statistics, time, numpy, functools, collections, itertools, json
import datetime, dataclasses, enum, scipy"""


async def test_no_attempt_to_leave_the_language_succeeds(sandbox, bench) -> None:
    sources = {a: f"{IMPORTS}\nx = {a}\nprint('ESCAPED')" for a in ATTEMPTS}
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
    assert not escaped, " ; ".join(escaped)


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
