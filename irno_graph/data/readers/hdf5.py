"""HDF5 and NetCDF4 files of others: opening, attributes, and errors that name the file."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from irno_graph.child import Child, ChildError, CrashError, FailedError, LateError, StartError
from irno_graph.data.readers import probe

PROBE_SECONDS, PROBE_BYTES = 20.0, 2**30
WORDS = {
    LateError: "headers and attributes are not read within {seconds:.3g} s",
    CrashError: "headers or attributes end the process that reads them",
    FailedError: "headers or attributes ask for more memory than a sound file needs",
}


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """The file, open for reading; what the library says of a damaged one becomes a ValueError.

    Damage can also make the library run for ever or end the process. Another process therefore looks into the file
    first (`probed`).

    Raises:
        ValueError: if the file, or a part of it that is asked for, is damaged or not HDF5.
    """
    probed(path)
    with refusing_damage(path), h5py.File(path, "r") as file:
        yield file


def probed(path: Path) -> None:
    """See that all links, attributes and headers of the file come back, once per file, in another process.

    A file counts as the same while its path, size and time of change do. It costs about 1 ms per object in the file,
    and the first file 0.3 s more, for the process to start.

    Raises:
        ValueError: if looking into the file takes 20 s, more memory than 1 GB, or crashes.
    """
    try:
        status = path.stat()
    except OSError:
        return  # opening it says why
    key = (str(path.absolute()), status.st_size, status.st_mtime_ns)
    if key in _sound:
        return
    try:
        _child.ask(key[0], seconds=PROBE_SECONDS, memory=PROBE_BYTES)
    except StartError as error:
        warnings.warn(f"`{path}` is opened without a look into it by another process: {error}.", stacklevel=2)
        return
    except ChildError as error:
        what = WORDS[type(error)].format(seconds=PROBE_SECONDS)
        raise ValueError(
            f"`{path}` should be a sound HDF5/NetCDF4 file, got one whose {what}: fetch it again."
        ) from error
    _sound.add(key)


_child = Child(probe.__file__, "walk", imports=("h5py",))
_sound: set[tuple[str, int, int]] = set()


@contextmanager
def refusing_damage(path: Path) -> Iterator[None]:
    """Turns what the library says of a damaged file into a ValueError that names it."""
    try:
        yield
    except (OSError, RuntimeError, KeyError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        raise ValueError(
            f"`{path}` should be a sound HDF5/NetCDF4 file, got: {error}: fetch it again."
        ) from error


def array_in(group: h5py.Group, name: str, path: Path) -> h5py.Dataset:
    """The dataset `name` of `group`, with a size that the file can hold.

    Raises:
        ValueError: if there is none, it is a group, or its numbers are not real.
    """
    found = group.get(name)
    if not isinstance(found, h5py.Dataset):
        raise ValueError(
            f"`{path}` should hold the array {group.name.rstrip('/')}/{name}, got {sorted(group)}."
        )
    if found.dtype.kind not in "fiub" or found.shape is None:
        raise ValueError(f"`{path}`: {found.name} should hold real numbers, got {found.dtype}.")
    return found


def read_part(stored: h5py.Dataset, index: tuple[slice | int, ...] = ()) -> np.ndarray:
    """`stored[index]`, where all of it was written.

    HDF5 answers with a fill value for a chunk that was never written, as in a file whose writer was stopped.

    Args:
        stored: the dataset.
        index: entries of the first axes, slices running forwards.

    Raises:
        OSError: if the part cannot be read, or some of it was never written.
    """
    if stored.is_virtual or stored.external or 0 in stored.shape:
        return np.asarray(stored[index])
    if stored.chunks is None:
        if stored.id.get_storage_size() == 0:
            raise OSError(f"{stored.name} was never written")
        return np.asarray(stored[index])
    entries = (*index, *[slice(None)] * (stored.ndim - len(index)))
    starts = [
        _chunk_starts(entry, count, size)
        for entry, count, size in zip(entries, stored.shape, stored.chunks, strict=True)
    ]
    for corner in itertools.product(*starts):
        if stored.id.get_chunk_info_by_coord(corner).byte_offset is None:
            raise OSError(f"the chunk at {list(corner)} of {stored.name} was never written")
    return np.asarray(stored[index])


def _chunk_starts(entry: slice | int, count: int, size: int) -> list[int]:
    rows = range(*entry.indices(count)) if isinstance(entry, slice) else range(entry, entry + 1)
    if not rows:
        return []
    if rows.step >= size:
        return sorted({row // size * size for row in rows})
    return list(range(rows[0] // size * size, rows[-1] + 1, size))


def vector_in(group: h5py.Group, name: str, path: Path, *, least: int = 1) -> np.ndarray:
    """The dataset `name` as a finite vector, float64.

    Raises:
        ValueError: if it is absent, not a vector, shorter than `least`, or not finite.
    """
    found = array_in(group, name, path)
    if found.ndim != 1 or not least <= found.shape[0] < 2**31:
        raise ValueError(
            f"`{path}`: {found.name} should be a vector of at least {least}, got shape {list(found.shape)}."
        )
    values = read_part(found).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"`{path}`: {found.name} should be finite, got NaN or infinite values.")
    return values


def words(value: Any) -> tuple[str, ...]:
    """An attribute as words: one string, or an array of strings or bytes.

    >>> words(np.array([b"x", b"y"])), words("x")
    (('x', 'y'), ('x',))
    """
    entries = np.atleast_1d(np.asarray(value, dtype=object)).ravel().tolist()
    return tuple(entry.decode() if isinstance(entry, bytes) else str(entry) for entry in entries)


def flag(found: h5py.Dataset, name: str, default: bool) -> bool:
    """A boolean attribute of a dataset."""
    return bool(np.all(found.attrs[name])) if name in found.attrs else default
