"""Eigenbases on disk: found by their contents, checked, bounded in size, safe for several processes at once."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

import numpy as np

from irno_graph.files import atomic_path
from irno_graph.graph import Graph

FORMAT = "2"  # raise it when the numbers in the files change meaning
MAGIC = b"irno_graph modes 2\n".ljust(32)
SUFFIX = ".modes"
LIMIT = 2_000_000_000  # bytes kept by default
STALE = 24 * 3600  # seconds after which a half-written file is left over from a process that was killed


class Modes(NamedTuple):
    """Eigenvalues `[modes]`, vectors `[nodes, modes]` and relative residuals `[modes]`, float64."""

    eigenvalues: np.ndarray
    vectors: np.ndarray
    residuals: np.ndarray


@dataclass(frozen=True)
class Slot:
    """Where the modes of one graph and one choice of settings are kept: `directory`/`name`-<modes>.modes."""

    directory: Path
    name: str

    def files(self) -> list[tuple[int, Path]]:
        """Number of modes and path of each file, fewest modes first."""
        start = len(self.name) + 1
        found = [(path.stem[start:], path) for path in self.directory.glob(f"{self.name}-*{SUFFIX}")]
        return sorted((int(count), path) for count, path in found if count.isdigit())


def cache_directory() -> Path:
    """Where eigenbases are kept: `eigenbasis` in $IRNO_GRAPH_CACHE, else in the user's cache directory."""
    given = os.environ.get("IRNO_GRAPH_CACHE")
    if given:
        return Path(given) / "eigenbasis"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "irno_graph" / "eigenbasis"


def cache_limit() -> int:
    """Bytes that the files may take: $IRNO_GRAPH_CACHE_BYTES, else 2e9.

    Raises:
        ValueError: if the variable is not a whole number.
    """
    given = os.environ.get("IRNO_GRAPH_CACHE_BYTES", str(LIMIT))
    if not given.strip().isdecimal():
        raise ValueError(
            f"$IRNO_GRAPH_CACHE_BYTES should be a number of bytes such as {LIMIT}, got '{given}'."
        )
    return int(given)


def cache_slot(graph: Graph, directory: Path, settings: bytes = b"") -> Slot:
    """The slot of `graph` in `directory`, named by a hash of geometry, masses, `settings` and the file format."""
    mass = graph.mass.detach().cpu().contiguous().numpy().tobytes()
    name = hashlib.sha256(f"{FORMAT} {graph.key()} {len(mass)} ".encode() + mass + settings).hexdigest()
    return Slot(directory, name[:40])


def load_modes(slot: Slot, nodes: int, modes: int) -> Modes | None:
    """The first `modes` of a file that holds as many; None where there is none. Damaged files are deleted."""
    for held, path in slot.files():
        if held < modes:
            continue
        try:
            with path.open("rb") as stream:
                found = _read(stream, path.stat().st_size, nodes, held, modes)
            if found is not None:
                os.utime(path)
                return found
            path.unlink()
        except OSError:
            continue
    return None


def save_modes(slot: Slot, modes: Modes) -> None:
    """Write `modes` whole or not at all, unless as many are kept; drop what has fewer, and the least recently used.

    A directory that cannot be written is no error.
    """
    limit = cache_limit()
    count = len(modes.eigenvalues)
    if modes.vectors.nbytes > limit:
        return
    with contextlib.suppress(OSError):
        if not any(held > count for held, _ in slot.files()):
            with atomic_path(slot.directory / f"{slot.name}-{count}{SUFFIX}") as temporary:
                _write(temporary, modes)
        for held, path in slot.files():
            if held < count:
                path.unlink(missing_ok=True)
        _evict(slot.directory, limit)


def cache_files(directory: Path) -> list[tuple[Path, os.stat_result]]:
    """The files of `directory` with their states, least recently used first."""
    found = []
    for path in directory.glob(f"*{SUFFIX}") if directory.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):
            found.append((path, path.stat()))
    return sorted(found, key=lambda pair: pair[1].st_mtime_ns)


def clear_cache(directory: Path) -> int:
    """Delete all files of the cache in `directory`; how many there were."""
    found = cache_files(directory)
    for path, _ in found:
        path.unlink(missing_ok=True)
    return len(found)


def _evict(directory: Path, limit: int) -> None:
    whole = []
    for path, state in cache_files(directory):
        if not path.name.startswith("."):
            whole.append((path, state.st_size))
        elif time.time() - state.st_mtime > STALE:
            path.unlink(missing_ok=True)
    excess = sum(size for _, size in whole) - limit
    for path, size in whole:
        if excess <= 0:
            return
        path.unlink(missing_ok=True)
        excess -= size


def _sums(rows: np.ndarray) -> np.ndarray:
    """A checksum of each row: the sum of its 64-bit words."""
    return rows.view(np.uint64).sum(axis=1, dtype=np.uint64)


def _write(path: Path, modes: Modes) -> None:
    rows = np.ascontiguousarray(modes.vectors.T, dtype=np.float64)  # a prefix of the file serves fewer modes
    sizes = np.array(rows.shape, dtype=np.int64)
    head = b"".join(part.tobytes() for part in (sizes, modes.eigenvalues, modes.residuals, _sums(rows)))
    with path.open("wb") as stream:
        stream.write(MAGIC + head + hashlib.sha256(head).digest())
        rows.tofile(stream)


def _read(stream: BufferedReader, size: int, nodes: int, held: int, modes: int) -> Modes | None:
    """The first `modes` of `held`; None where a byte is not as it was written."""
    length = 8 * (2 + 3 * held)
    if size != len(MAGIC) + length + 32 + 8 * nodes * held or stream.read(len(MAGIC)) != MAGIC:
        return None
    head = stream.read(length)
    if hashlib.sha256(head).digest() != stream.read(32):
        return None
    if np.frombuffer(head, np.int64, 2).tolist() != [held, nodes]:
        return None
    eigenvalues, residuals = np.frombuffer(head, np.float64, 2 * held, 16).reshape(2, held)[:, :modes].copy()
    sums = np.frombuffer(head, np.uint64, held, 16 * (1 + held))[:modes]
    rows = np.empty((modes, nodes))
    if stream.readinto(rows.data.cast("B")) != rows.nbytes:
        return None
    if not np.array_equal(_sums(rows), sums):
        return None
    return Modes(eigenvalues, rows.T, residuals)
