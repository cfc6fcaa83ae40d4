"""Files of an operator's inputs, its answers and, if known, the truth."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from irno_graph.data.readers.hdf5 import array_in, opened
from irno_graph.files import existing_file
from irno_graph.mesh import read_mesh
from irno_graph.mesh.formats import format_of

FIELDS = ("x", "h", "truth")
TIMES = ("time", "lead_time")
ARRAYS = (".npz",)
STORES = (".h5", ".hdf5", ".nc")
Arrays = Mapping[str, Any]


@contextmanager
def opened_answers(path: str | os.PathLike[str]) -> Iterator[Arrays]:
    """The arrays of a file by name; those of HDF5 are read when they are sliced."""
    file = existing_file(path)
    if file.suffix in STORES:
        with opened(file) as stored:
            yield {name: array_in(stored, name, file) for name in (*FIELDS, *TIMES) if name in stored}
        return
    if file.suffix not in ARRAYS and format_of(file) is None:
        raise ValueError(
            f"`{file}` should be {', '.join(ARRAYS + STORES)} or a mesh file with point data, got another suffix."
        )
    yield _arrays(file) if file.suffix in ARRAYS else _point_data(file)


def _arrays(file: Path) -> Arrays:
    try:
        with np.load(file, allow_pickle=False) as stored:
            return dict(stored)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"`{file}` should hold arrays of numbers, got: {error}.") from error


def _point_data(file: Path) -> Arrays:
    return read_mesh(file, merge_periodic=False, audited=False).point_data


def checked_shape(arrays: Arrays, file: Path, nodes: int) -> tuple[int, ...]:
    """The shape of `h`, where all arrays fit together."""
    missing = [name for name in ("x", "h") if name not in arrays]
    if missing:
        raise ValueError(
            f"`{file}` should hold `x`, the operator's input, and `h`, its answer, got {sorted(arrays)}: add "
            f"{missing[0]}."
        )
    shape = tuple(arrays["h"].shape)
    for name in FIELDS:
        own = tuple(arrays[name].shape) if name in arrays else shape
        fits = len(own) in (2, 3) and own[:-1] == (*shape[:-2], nodes) and (name != "truth" or own == shape)
        if not fits or 0 in own:
            raise ValueError(
                f"`{name}` of `{file}` should be [nodes={nodes}, channels] or [samples, nodes={nodes}, channels], "
                f"alike for all arrays, got {list(own)} and h {list(shape)}: nodes are the mesh's points, in order."
            )
    return shape


def tensor_of(array: Any, part: Any) -> Tensor:
    """A part of an array in float32.

    Raises:
        ValueError: if it does not hold numbers.
    """
    try:
        return torch.from_numpy(np.asarray(array[part], dtype=np.float32))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"arrays of answers should hold numbers, got: {error}.") from error


def times_of(arrays: Arrays, part: Any, device: torch.device) -> dict[str, Any]:
    """`time` and `lead_time` of the samples `part`, those of them that the file has."""
    found: dict[str, Any] = {}
    for name in TIMES:
        if name in arrays:
            value = torch.from_numpy(np.asarray(arrays[name][()], dtype=np.float32)).to(device)
            found[name] = value[part] if value.dim() and isinstance(part, slice) else value
    return found
