"""A function called in another process, in bounded time and memory and in silence, for files nobody vouches for.

This file is both sides: `Child` here, and, run as a script, the process that it asks. That process imports neither
this package nor torch, so that it starts in a fraction of a second.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import importlib.util
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

GRACE = 5  # seconds after which a process ends itself where its parent, killed, cannot end it


class ChildError(RuntimeError):
    """The other process gave no answer."""


class StartError(ChildError):
    """It did not start."""


class LateError(ChildError):
    """It took too long, and was killed."""


class CrashError(ChildError):
    """It died."""


class FailedError(ChildError):
    """The function raised an exception, or its value cannot be pickled."""


class Child:
    """A process that calls one function of a Python file, one request after another.

    It starts at the first request and stays; one that was late or died is replaced at the next request. A forked
    process gets one of its own.

    Args:
        script: the file; it is loaded alone, so that it can import installed libraries but nothing beside it.
        function: the name of its function, of picklable arguments and value.
        imports: modules to import before memory is limited and time is counted.
    """

    def __init__(
        self, script: str | os.PathLike[str], function: str, *, imports: tuple[str, ...] = ()
    ) -> None:
        self.command = [sys.executable, "-P", __file__, os.fspath(script), function, *imports]
        self.process: subprocess.Popen | None = None
        self._lock = threading.Lock()
        self._inherited: subprocess.Popen | None = None
        _children.add(self)

    def ask(self, *arguments: Any, seconds: float, memory: int) -> Any:
        """`function(*arguments)`, computed there.

        Args:
            arguments: of the function.
            seconds: to wait for the answer.
            memory: bytes by which the process may grow, where the system can limit that.

        Raises:
            LateError: if there is no answer in time.
            CrashError: if the process dies.
            FailedError: if the function raises an exception, which it names, or its value cannot be pickled.
            StartError: if it does not start.
        """
        with self._lock:
            worker = self._running()
            late = threading.Event()

            def stop() -> None:
                late.set()
                worker.kill()

            assert worker.stdin is not None
            assert worker.stdout is not None
            timer = threading.Timer(seconds, stop)
            timer.daemon = True
            timer.start()
            try:
                worker.stdin.write(pickle.dumps((arguments, seconds, memory), protocol=5))
                worker.stdin.flush()
                failure, value = pickle.load(worker.stdout)
            except (EOFError, OSError, pickle.UnpicklingError) as error:
                self.close()
                if late.is_set():
                    raise LateError(f"it took more than {seconds:.3g} s") from error
                raise CrashError("it crashed") from error
            except BaseException:  # an interrupted read would leave its answer for the next request
                self.close()
                raise
            finally:
                timer.cancel()
            if failure is not None:
                raise FailedError(failure)
            return value

    def close(self) -> None:
        """End the process, if there is one."""
        worker, self.process = self.process, None
        if worker is None:
            return
        worker.kill()
        for pipe in (worker.stdin, worker.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        worker.wait()

    def _running(self) -> subprocess.Popen:
        if self.process is not None and self.process.poll() is not None:
            self.close()
        if self.process is None:
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            try:
                self.process = subprocess.Popen(
                    self.command, **pipes, stderr=subprocess.DEVNULL, start_new_session=True
                )
                assert self.process.stdout is not None
                pickle.load(
                    self.process.stdout
                )  # it says so when it is ready: the limit is for the request alone
            except (OSError, EOFError, pickle.UnpicklingError) as error:
                self.close()
                raise StartError(f"no process starts from {sys.executable!r}: {error!r}") from error
        return self.process

    def _forget(self) -> None:
        """In a forked process: its parent's process belongs to the parent."""
        self._inherited = self.process  # kept, since a Popen that is collected speaks up
        self.process, self._lock = None, threading.Lock()


_children: weakref.WeakSet[Child] = weakref.WeakSet()


def _close_all() -> None:
    for child in list(_children):
        child.close()


def _forget_all() -> None:
    for child in list(_children):
        child._forget()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def limit_memory(budget: int) -> None:
    """Let this process grow by `budget` bytes from here, where the system can say so."""
    try:
        import resource

        with open("/proc/self/statm") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        soft = now + budget if hard == resource.RLIM_INFINITY else min(now + budget, hard)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    except (ImportError, OSError, ValueError):
        return


def limit_time(seconds: float) -> None:
    """Let this process die after `seconds` and some grace, where the system has alarms; 0 takes the limit back."""
    if hasattr(signal, "alarm"):
        signal.alarm(math.ceil(seconds) + GRACE if seconds else 0)


def serve(function: Callable[..., Any], requests: Any, answers: Any) -> None:
    """Answer requests `(arguments, seconds, bytes of memory)` until the pipe closes."""
    answers.write(pickle.dumps("ready"))
    answers.flush()
    while True:
        try:
            arguments, seconds, memory = pickle.load(requests)
        except EOFError:
            return
        limit_memory(memory)
        limit_time(min(seconds, 2**30))
        try:
            data = pickle.dumps((None, function(*arguments)), protocol=5)
        except Exception as error:
            data = pickle.dumps((type(error).__name__, None))
        answers.write(data)
        answers.flush()
        limit_time(0)
        del data


def main(script: str, function: str, *imports: str) -> None:
    """Serve `function` of the file `script`, having imported `imports`."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    for name in imports:
        importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(Path(script).stem, script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    serve(getattr(module, function), requests, answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
