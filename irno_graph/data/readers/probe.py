"""What the process that looks into HDF5 files first does (`irno_graph.child`); needs h5py only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h5py

MOST_OBJECTS = 10_000  # groups and datasets, so that a sound file is seen in bounded time


def walk(path: str) -> int:
    """Read links, attributes and dataset headers of a file, no data, and say how many objects were seen.

    What h5py refuses is passed over, since it refuses it again where it is asked for. What does not come back, ends
    this process, or takes more memory than it has is what the walk is for.

    Raises:
        MemoryError: if memory runs out.
    """
    file = _tried(h5py.File, path, "r")
    waiting: list[Any] = [file] if file else []
    seen: set[tuple[int, ...]] = set()
    count = 0
    while waiting and count < MOST_OBJECTS:
        found = waiting.pop()
        place = _tried(_place, found)
        if place in seen:
            continue
        if place is not None:
            seen.add(place)
        count += 1
        _attributes(found)
        if isinstance(found, h5py.Group):
            waiting += _members(found, MOST_OBJECTS - count)
        elif isinstance(found, h5py.Dataset):
            _header(found)
    if file:
        _tried(file.close)
    return count


def _place(found: Any) -> tuple[int, ...]:
    """A number for the file and the address in it, equal for two links to one object."""
    info = h5py.h5o.get_info(found.id)
    return info.fileno, info.addr


def _attributes(found: Any) -> None:
    for name in _tried(list, found.attrs) or []:
        _tried(found.attrs.__getitem__, name)


def _members(group: h5py.Group, most: int) -> list[Any]:
    names = _tried(list, group) or []
    members = [_tried(group.get, name) for name in names[:most]]
    return [member for member in members if isinstance(member, h5py.Group | h5py.Dataset)]


def _header(found: h5py.Dataset) -> None:
    for name in ("shape", "dtype", "chunks", "maxshape", "fillvalue", "is_virtual", "external"):
        _tried(getattr, found, name)
    _tried(found.id.get_storage_size)  # walks the index of its chunks


def _tried(read: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return read(*arguments)
    except MemoryError:
        raise
    except Exception as error:
        if "memory allocation failed" in str(error):  # as HDF5 says it where h5py raises something else
            raise MemoryError(str(error)) from error
        return None
