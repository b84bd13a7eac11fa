"""Scripts that do their worst: one table for the tests and the benchmark.

Each is run after `PREFACE`, which uses the stage, so that a stop has hardware to stop.
"""

# ruff: noqa: E501 - short scripts on one line

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from textwrap import dedent

__all__ = ["HOSTILE", "PREFACE_LINES", "REFUSED", "Hostile", "Yields"]

PREFACE = "stage = device('slow_stage')\nstage.position()\nprint('go')\n"
PREFACE_LINES = PREFACE.count("\n")


class Yields(Enum):
    """What it takes to end one."""

    TO_STOP = auto()
    """A graceful stop: it comes to a checkpoint in time."""
    TO_FORCE = auto()
    """Only force: it computes in C, or its cleanup has no end."""
    TO_EITHER = auto()
    """It depends on the moment: long stretches in C between two checkpoints."""
    BY_ITSELF = auto()
    """An error ends it before anybody has to."""


@dataclass(frozen=True, slots=True)
class Hostile:
    """One script of the table."""

    name: str
    body: str
    yields: Yields

    @property
    def source(self) -> str:
        """The whole script."""
        return PREFACE + self.body + "\n"


_TO_STOP = {
    # Loops that swallow what they can.
    "empty loop": "while True: pass",
    "bare except": "while True:\n    try:\n        while True: pass\n    except: pass",
    "except Exception": "while True:\n    try:\n        for i in range(10**9): pass\n    except Exception: pass",
    "swallows around a call": "while True:\n    try:\n        stage.position()\n    except: pass",
    "swallows around a sleep": "while True:\n    try:\n        sleep(0.01)\n    except Exception: pass",
    "stop lost in cleanup": "while True:\n    try:\n        try:\n            while True: pass\n        finally:\n            1 / 0\n    except Exception: pass",
    "errors that raise errors": "while True:\n    try:\n        try:\n            1 / 0\n        finally:\n            {}['x']\n    except Exception: pass",
    "ignores stop inside of with": """
        with open_run('mine'):
            while True:
                try:
                    while True: pass
                except: pass
    """,
    "loops over the question": "while not stop_requested() or True: pass",
    "continues after break": "while True:\n    for i in iter(int, 1):\n        if i: break",
    # Functions, classes, generators.
    "comprehension": "x = [i for i in range(10**9) if i < 0]",
    "generator expression": "x = sum(1 for i in range(10**12))",
    "generator": "def g():\n    try:\n        while True:\n            yield 1\n    finally:\n        pass\nfor x in g(): pass",
    "nested generators": """
        def chain(n):
            if n == 0:
                while True:
                    yield 0
            yield from chain(n - 1)
        for x in chain(200): pass
    """,
    "generator that yields in cleanup": """
        def g():
            while True:
                try:
                    yield 1
                finally:
                    yield 2
        def fresh():
            for x in g():
                break
        while True:
            fresh()
    """,
    "iterator without end": "class I:\n    def __iter__(self): return self\n    def __next__(self): return 1\nsum(I())",
    "comparison without end": "class C:\n    def __lt__(self, other):\n        while True: pass\nsorted([C(), C()])",
    "hash without end": "class H:\n    def __hash__(self):\n        while True: pass\n{H(): 1}",
    "text without end": "class T:\n    def __str__(self):\n        while True: pass\nprint(T())",
    "truth without end": "class B:\n    def __bool__(self):\n        while True: pass\nif B(): pass",
    "key function": "sorted(range(10**4), key=lambda v: sum(1 for i in range(10**6)))",
    "property without end": "class P:\n    @property\n    def x(self):\n        while True: pass\nP().x",
    "recursion swallowed": "def f():\n    try:\n        f()\n    except RecursionError: pass\nwhile True:\n    f()",
    "recursion that branches": "def f(n):\n    if n:\n        f(n - 1)\n        f(n - 1)\nf(60)",
    "mutual recursion": "def f(n): return g(n)\ndef g(n):\n    try:\n        return f(n + 1)\n    except: return n\nwhile True: f(0)",
    "collects while recursing": "def f(x):\n    try:\n        f([x, x])\n    except RecursionError: pass\nwhile True: f([])",
    # Memory.
    "memory swallowed": "x = []\nwhile True:\n    try:\n        x += [0] * 10**6\n    except MemoryError: pass",
    "memory given back": "while True:\n    try:\n        x = [0] * 10**6\n        while True: x += x\n    except MemoryError:\n        x = None",
    "texts swallowed": "x = 'a'\nwhile True:\n    try:\n        x += x\n    except MemoryError: pass",
    "huge integers": "x = 3\nwhile True:\n    x = x * x % (1 << 100000) + 3",
    # Waiting.
    "sleep": "sleep(1e6)",
    "sleep for ever": "sleep(float('inf'))",
    "time.sleep": "import time\ntime.sleep(1e6)",
    "many short sleeps": "while True: sleep(0)",
    "move": "stage.move_abs(1e5)",
    "move with cleanup": "try:\n    stage.move_abs(1e5)\nfinally:\n    stage.position()",
    "moves again and again": "while True:\n    try:\n        stage.move_abs(1e5)\n    except: pass",
    "point with a long dwell": "scan(['meter'], 'stage', 0, 1, 2, dwell=1e6)",
    "fly scan": "fly_scan(['meter'], 'slow_stage', 0, 1e5, interval=0.001)",
    # Floods.
    "flood of lines": "while True: print('x' * 100)",
    "flood of empty lines": "while True: print()",
    "flood of line ends": "while True: print('\\n' * 10000)",
    "flood of texts without an end": "while True: print('x', end='')",
    "flood of long lines": "while True: print('x' * 10**6)",
    "flood of log": "while True: log('x', level='error')",
    "flood of progress": "while True: progress(0.5, 'x' * 1000)",
    "flood of records": "while True: record('meter')",
    "flood of large records": "import numpy as np\nx = np.zeros(10**5)\nwhile True: record('meter', x=x)",
    "flood of streams": "i = 0\nwhile True:\n    i += 1\n    record('meter', stream=f's{i}')",
    "flood of columns": "i = 0\nwhile True:\n    i += 1\n    record('meter', **{f'c{i}': 1})",
    "flood of calls": "while True: stage.position()",
    "flood of refused calls": "while True:\n    try:\n        device('nothing')\n    except DaqError: pass",
    "flood of stops": "while True: stage.stop()",
    "flood of questions": "while True: devices()",
    "flood of runs": "while True:\n    with open_run('x'):\n        record('meter')",
    "flood of runs that stay open": "while True:\n    try:\n        open_run('x').name\n        with open_run('y'):\n            with open_run('z'): pass\n    except DaqError: pass",
    "flood of checkpoints": "while True: checkpoint()",
    "flood of imports": "while True:\n    import numpy, math",
    "flood of classes": "while True:\n    class A: pass",
    "flood of warnings": "import numpy as np\nwhile True:\n    np.log(np.float64(-1.0))\n    np.array([1.0]) / 0",
    "numpy in small pieces": "import numpy as np\nwhile True:\n    a = np.ones((100, 100)) @ np.ones((100, 100))",
    "callback from C": "list(map(lambda v: [i for i in range(10**9) if i < 0], [1]))",
    "exception with a text without end": "class E(Exception):\n    def __str__(self):\n        while True: pass\nraise E",
}  # fmt: skip

_TO_FORCE = {
    "sum": "sum(range(10**12))",
    "max of a callable": "max(iter(int, 1))",
    "any": "any(iter(lambda: 0, 1))",
    "list of a callable, filtered": "list(filter(None, iter(int, 1)))",
    "set of a callable": "set(iter(int, 1))",
    "in without end": "1 in iter(int, 1)",
    "power": "x = 10 ** 10 ** 8",
    "power by a function": "pow(3, 10**9)",
    "factorial": "import math\nmath.factorial(10**8)",
    "binomial": "import math\nmath.comb(10**8, 10**7)",
    "product": "x = (1 << 10**8) * (1 << 10**8 | 1) * ((1 << 10**8) + 3) * ((1 << 10**8) + 7)",
    "counts in a text": "max(map((b'ab' * 10**7).count, [b'bab'] * 10**4))",
    "join of a callable": "''.join(iter(str, 1))",
    "zip": "all(zip(iter(lambda: 1, 0), iter(lambda: 1, 0)))",
    "lambda": "f = lambda: max(iter(lambda: 0, 1))\nf()",
    "unpacks a callable": "a, *b = (x for x in [max(iter(int, 1))])",
    "random sample": "import random\nmax(iter(random.random, 2))",
    "cleanup without end": "try:\n    while True: pass\nfinally:\n    while True: pass",
    "cleanup in C": "try:\n    while True: pass\nfinally:\n    sum(range(10**12))",
    "cleanup that sleeps": "try:\n    sleep(1e6)\nfinally:\n    sleep(1e6)",
    "cleanup that moves": "try:\n    stage.move_abs(1e5)\nfinally:\n    stage.move_abs(-1e5)",
    "cleanup that prints": "try:\n    sleep(1e6)\nfinally:\n    while True: print('x' * 1000)",
    "cleanup of a cleanup": "try:\n    while True: pass\nfinally:\n    try:\n        1 / 0\n    finally:\n        while True:\n            try:\n                stage.position()\n            except: pass",
    "cleanup that eats memory": "x = []\ntry:\n    while True: pass\nfinally:\n    while True:\n        try:\n            x += [0] * 10**6\n        except MemoryError: pass",
    "cleanup of a generator": "def g():\n    try:\n        while True: yield 1\n    finally:\n        while True: pass\nx = g()\nnext(x)\ntry:\n    while True: pass\nfinally:\n    x.close()",
    "cleanup inside of with": "with open_run('x'):\n    try:\n        while True: pass\n    finally:\n        while True: record('meter')",
    "matrix": "import numpy as np\na = np.random.default_rng(1).normal(size=(2500, 2500))\nnp.linalg.eig(a)",
    "correlation": "import numpy as np\na = np.ones(5_000_000)\nnp.convolve(a, a)",
}  # fmt: skip

_TO_EITHER = {
    "matrices in a loop": "import numpy as np\na = np.ones((1500, 1500))\nwhile True: a @ a",
    "growing integer": "x = 3\nwhile True: x = x * x",
    "digits": "x = 7\nwhile True:\n    x = x * x + 1\n    try:\n        str(x)\n    except ValueError: pass",
    "sorts in a loop": "import random\nx = [random.random() for i in range(10**6)]\nwhile True: sorted(x)",
    "memory in one step": "x = []\nwhile True:\n    try:\n        x.append(bytearray(10**7))\n    except MemoryError: pass",
    "collisions": "x = {i * ((1 << 61) - 1): 0 for i in range(30000)}\nwhile True: dict(x)",
    "deep repr": "x = []\nfor i in range(900):\n    x = [x, x]\n    if i > 30: repr(x)",
}  # fmt: skip

_BY_ITSELF = {
    "text too large": "x = 'a' * 10**11",
    "list too large": "x = [0] * 10**10",
    "width too large": "x = f'{1:{10**10}}'",
    "format too large": "x = '{:>9999999999}'.format(1)",
    "array too large": "import numpy as np\nnp.ones((60000, 60000))",
    "integer too large": "x = 1 << 10**11",
    "range into list": "x = list(range(10**10))",
    "array of a range": "x = arange(0, 1e300, 1e-300)",
    "endless growth": "x = []\nwhile True: x.append('a' * 10**6)",
    "recursion": "def f(): f()\nf()",
    "recursion in repr": "class A:\n    def __repr__(self): return repr(self)\nprint(A())",
    "recursion by a method": "class A:\n    def __len__(self): return len(self)\nlen(A())",
    "iterators inside of iterators": "x = iter([1])\nfor i in range(10**6):\n    x = map(abs, x)\nfor y in x: pass",
    "recursive record": "x = []\nx.append(x)\nrecord('meter', x=x)",
    "record too large": "record('meter', x='a' * (1 << 25))",
    "result that is a loop": "x = {}\nx['x'] = x\nlog(repr(x))\nrecord('meter', **x)",
    "close of a generator that goes on": "def g():\n    while True:\n        try:\n            yield 1\n        except: pass\nx = g()\nnext(x)\nx.close()\n1 / 0",
    "sleep of nothing": "sleep(float('nan'))",
    "text that fails": "class E(Exception):\n    def __str__(self): 1 / 0\nraise E",
    "chain of causes": "e = None\nfor i in range(10000):\n    try:\n        raise ValueError(str(i)) from e\n    except ValueError as error:\n        e = error\nraise e",
}  # fmt: skip

HOSTILE: dict[str, Hostile] = {
    name: Hostile(name, dedent(body).strip("\n"), yields)
    for yields, table in (
        (Yields.TO_STOP, _TO_STOP),
        (Yields.TO_FORCE, _TO_FORCE),
        (Yields.TO_EITHER, _TO_EITHER),
        (Yields.BY_ITSELF, _BY_ITSELF),
    )
    for name, body in table.items()
}

REFUSED: dict[str, str] = {
    "fork bomb": "import os\nwhile True: os.fork()",
    "threads": "import threading",
    "regular expression": "import re\nre.match('(a+)+$', 'a' * 99 + 'b')",
    "catches the stop": "try:\n    pass\nexcept BaseException:\n    pass",
    "return in cleanup": "def f():\n    while True:\n        try:\n            sleep(1)\n        finally:\n            return 1",
    "continue in cleanup": "while True:\n    try:\n        sleep(1)\n    finally:\n        continue",
    "context that swallows": "class A:\n    def __exit__(self, *a): return True",
    "destructor": "class A:\n    def __del__(self):\n        while True: pass",
    "exits": "exit()",
    "exception groups": "try:\n    pass\nexcept* Exception:\n    pass",
}
"""Refused at upload."""
