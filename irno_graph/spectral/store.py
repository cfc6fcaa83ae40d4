"""Eigenbases on disk: one file per graph, found by its contents, ignored where damaged."""

from __future__ import annotations

import contextlib
import hashlib
import os
import zipfile
from pathlib import Path

import numpy as np

from irno_graph.files import atomic_path
from irno_graph.graph import Graph

FORMAT = "1"  # raise it when the numbers in the files change meaning
Modes = tuple[np.ndarray, np.ndarray]  # eigenvalues [modes], vectors [nodes, modes]


def cache_directory() -> Path:
    """Where eigenbases are kept: `eigenbasis` in $IRNO_GRAPH_CACHE, else in the user's cache directory."""
    given = os.environ.get("IRNO_GRAPH_CACHE")
    if given:
        return Path(given) / "eigenbasis"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "irno_graph" / "eigenbasis"


def cache_file(graph: Graph, directory: Path) -> Path:
    """The file of `graph` in `directory`, named by a hash of its geometry, masses and the file format."""
    mass = graph.mass.cpu().contiguous().numpy().tobytes()
    name = hashlib.sha256(f"{FORMAT} {graph.key()} ".encode() + mass).hexdigest()
    return directory / f"{name[:40]}.npz"


def load_modes(file: Path, nodes: int, modes: int) -> Modes | None:
    """The first `modes` of `file`; None where it is missing, damaged or holds fewer."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as held:
            eigenvalues, vectors = held["eigenvalues"], held["vectors"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    count = len(eigenvalues) if eigenvalues.ndim == 1 else 0
    if count < modes or vectors.shape != (nodes, count) or not np.isfinite(vectors).all():
        return None
    return eigenvalues[:modes], np.ascontiguousarray(vectors[:, :modes])


def save_modes(file: Path, modes: Modes) -> None:
    """Write `modes` to `file`, whole or not at all; a directory that cannot be written is no error."""
    with contextlib.suppress(OSError), atomic_path(file) as temporary:
        np.savez(temporary, eigenvalues=modes[0], vectors=modes[1])
