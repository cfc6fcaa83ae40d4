"""Reading a file that nobody vouches for: in another process, in bounded time and memory, in silence."""

from __future__ import annotations

import atexit
import os
import pickle
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from irno_graph.mesh import read_worker
from irno_graph.mesh.mesh import MeshError

START_SECONDS, SECONDS_PER_MEGABYTE = 20.0, 4.0
START_BYTES, BYTES_PER_BYTE = 2**30, 60
_worker: subprocess.Popen | None = None
_lock = threading.Lock()


def read_bounded(file: Path, *, time_limit: float | None = None, isolated: bool = True) -> dict[str, Any]:
    """The arrays of a mesh file: `points`, `cells` and the other attributes of a meshio mesh, by name.

    `time_limit` is in seconds, by default 20 and 4 more per MB. `isolated=False` reads in this process,
    without limits.

    Raises:
        MeshError: if the file is no mesh, or reading it takes too long, too much memory, or crashes.
    """
    if time_limit is not None and not time_limit > 0:
        raise MeshError(f"`time_limit` should be a positive number of seconds, got {time_limit!r}.")
    if isolated:
        size = total_size(file)
        seconds = START_SECONDS + SECONDS_PER_MEGABYTE * size / 2**20 if time_limit is None else time_limit
        answer = _asked(str(file.resolve()), START_BYTES + BYTES_PER_BYTE * size, seconds)
    else:
        answer = read_worker.read_fields(str(file))
    if "error" in answer:
        raise MeshError(
            f"`{file}` should be a mesh in a format that meshio reads, got: {answer['error']}. "
            "Check the file and its suffix."
        )
    return answer


def total_size(file: Path) -> int:
    """Bytes of `file` and of the files beside it that share its stem or that an XDMF names."""
    stem = file.name.split(".")[0]
    files = {other for other in file.parent.glob("*.*") if other.name.split(".")[0] == stem}
    if file.suffix.lower() in (".xdmf", ".xmf"):
        with open(file, "rb") as stream:
            head = stream.read(2**20)
        names = {os.fsdecode(name) for name in re.findall(rb"([\w.-]{1,200}\.h5):", head)}
        files |= {file.parent / name for name in names}
    return sum(other.stat().st_size for other in files | {file} if other.is_file())


def _asked(path: str, budget: int, seconds: float) -> dict[str, Any]:
    """The worker's answer; a worker that is late is killed, and one that died is replaced at the next call."""
    with _lock:
        worker = _running()
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
            worker.stdin.write(pickle.dumps((path, budget), protocol=5))
            worker.stdin.flush()
            answer: dict[str, Any] = pickle.load(worker.stdout)
        except (EOFError, OSError, pickle.UnpicklingError):
            _close()
            if late.is_set():
                return {"error": f"reading took more than {seconds:.3g} s (raise `time_limit`)"}
            return {"error": "the reader crashed"}
        except BaseException:  # an interrupted read would leave its answer for the next request
            _close()
            raise
        finally:
            timer.cancel()
        return answer


def _running() -> subprocess.Popen:
    global _worker
    if _worker is not None and _worker.poll() is not None:
        _close()
    if _worker is None:
        command = [sys.executable, "-P", str(Path(read_worker.__file__))]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        try:
            _worker = subprocess.Popen(command, **pipes, stderr=subprocess.DEVNULL, start_new_session=True)
            assert _worker.stdout is not None
            pickle.load(_worker.stdout)  # it says so when it is ready: the time limit is for reading alone
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            _close()
            raise MeshError(
                f"a process that reads meshes should start from {sys.executable!r}, got: {error!r}. "
                "Read with `isolated=False` where Python is embedded."
            ) from error
    return _worker


def _close() -> None:
    global _worker
    worker, _worker = _worker, None
    if worker is None:
        return
    worker.kill()
    for pipe in (worker.stdin, worker.stdout):
        try:
            if pipe is not None:
                pipe.close()
        except OSError:
            continue
    worker.wait()


def _forget() -> None:
    """In a forked process: its parent's worker belongs to the parent."""
    global _worker, _lock, _inherited
    _inherited = _worker
    _worker, _lock = None, threading.Lock()


_inherited: subprocess.Popen | None = None  # kept, since a Popen that is collected speaks up
atexit.register(_close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
