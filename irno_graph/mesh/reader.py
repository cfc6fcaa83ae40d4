"""Reading a file that nobody vouches for: in another process, in bounded time and memory, in silence."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from irno_graph.child import Child, CrashError, FailedError, LateError, StartError
from irno_graph.mesh import read_worker
from irno_graph.mesh.mesh import MeshError

START_SECONDS, SECONDS_PER_MEGABYTE = 20.0, 4.0
START_BYTES, BYTES_PER_BYTE = 2**30, 60


def read_bounded(
    file: Path, *, time_limit: float | None = None, isolated: bool = True, step: int | None = None
) -> dict[str, Any]:
    """The arrays of a mesh file: `points`, `cells` and the other attributes of a meshio mesh, by name.

    `time_limit` is in seconds, by default 20 and 4 more per MB. `isolated=False` reads in this process,
    without limits. `step` is the place of a snapshot in an XDMF series.

    Raises:
        MeshError: if the file is no mesh, or reading it takes too long, too much memory, or crashes.
    """
    if time_limit is not None and not time_limit > 0:
        raise MeshError(f"`time_limit` should be a positive number of seconds, got {time_limit!r}.")
    if isolated:
        size = total_size(file)
        seconds = START_SECONDS + SECONDS_PER_MEGABYTE * size / 2**20 if time_limit is None else time_limit
        answer = _asked(str(file.resolve()), step, START_BYTES + BYTES_PER_BYTE * size, seconds)
    else:
        answer = read_worker.read_fields(str(file), step)
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


def _asked(path: str, step: int | None, budget: int, seconds: float) -> dict[str, Any]:
    """What the other process reads, or why it reads nothing."""
    try:
        answer: dict[str, Any] = _child.ask(path, step, seconds=seconds, memory=budget)
    except LateError:
        return {"error": f"reading took more than {seconds:.3g} s (raise `time_limit`)"}
    except CrashError:
        return {"error": "the reader crashed"}
    except FailedError as error:
        return {"error": f"it cannot be handed over ({error})"}
    except StartError as error:
        raise MeshError(
            f"a process that reads meshes should start, got: {error}. "
            "Read with `isolated=False` where Python is embedded."
        ) from error
    return answer


_child = Child(read_worker.__file__, "read_fields", imports=("meshio",))
