"""What the mesh writers share: arrays in the form that formats take, silence, and files that appear whole."""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


def as_array(values: Any) -> np.ndarray:
    """`values` as an array; a tensor comes to the CPU first."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def padded(values: np.ndarray) -> np.ndarray:
    """Rows of two components padded with zeros to three; of one component flattened.

    >>> padded(np.ones((1, 2)))
    array([[1., 1., 0.]])
    """
    if values.ndim == 2 and values.shape[1] == 1:
        return np.ascontiguousarray(values[:, 0])
    if values.ndim == 2 and values.shape[1] == 2:
        return np.pad(values, ((0, 0), (0, 1)))
    return np.ascontiguousarray(values)


@contextlib.contextmanager
def quiet() -> Iterator[io.StringIO]:
    """Keep what meshio prints, and silence the warnings of its writers."""
    said = io.StringIO()
    with (
        warnings.catch_warnings(action="ignore"),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
    ):
        yield said


@contextlib.contextmanager
def staged_files(target: Path) -> Iterator[Path]:
    """Give a path of the same name in a temporary directory beside `target`; on success its files move out.

    Formats write companions (.h5, .vtu) whose names stand inside the main file: so names are final from the
    start, and the main file moves last.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.stem}-", dir=target.parent) as directory:
        staged = Path(directory) / target.name
        yield staged
        for file in sorted(Path(directory).iterdir(), key=lambda file: file == staged):
            file.replace(target.parent / file.name)
