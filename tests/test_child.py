"""Functions called in another process: values, failures by name, and no library that they did not ask for."""

import time
from pathlib import Path

import pytest

from irno_graph.child import Child, CrashError, FailedError, LateError, StartError

WORKER = """
import os, sys, time
def act(name, value):
    return globals()[name](value)
def double(value):
    print("not an answer")
    os.write(2, b"silence")
    return 2 * value
def modules(value):
    return sorted(sys.modules)
def process(value):
    return os.getpid()
def pickled(value):
    return lambda: value
def failing(value):
    raise KeyError(value)
def dying(value):
    os._exit(value)
def waiting(value):
    time.sleep(value)
"""


@pytest.fixture
def child(tmp_path: Path):
    (tmp_path / "worker.py").write_text(WORKER)
    found = Child(tmp_path / "worker.py", "act", imports=("json",))
    yield found
    found.close()


def ask(child: Child, name: str, value: int, seconds: float = 20.0):
    return child.ask(name, value, seconds=seconds, memory=2**30)


def test_one_silent_process_without_torch_answers_all(child: Child) -> None:
    assert [ask(child, "double", value) for value in (1, 2, 3)] == [2, 4, 6]
    modules = ask(child, "modules", 0)
    assert "json" in modules
    assert not {"torch", "numpy", "irno_graph"} & set(modules)
    first = ask(child, "process", 0)
    for name in ("pickled", "failing"):
        with pytest.raises(FailedError):
            ask(child, name, 0)
    assert ask(child, "process", 0) == first


def test_who_is_late_or_dies_is_replaced(child: Child) -> None:
    first = ask(child, "process", 0)
    start = time.monotonic()
    with pytest.raises(LateError, match=r"0\.2 s"):
        ask(child, "waiting", 60, seconds=0.2)
    assert time.monotonic() - start < 30
    second = ask(child, "process", 0)
    with pytest.raises(CrashError):
        ask(child, "dying", 0)
    assert len({first, second, ask(child, "process", 0)}) == 3


def test_a_script_that_does_not_load_is_told(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="no process starts"):
        Child(tmp_path / "nothing.py", "act").ask(seconds=5, memory=2**30)
