"""Files of trajectories in RIGNO's layout, computed in blocks that an interruption leaves in place."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from irno_graph.files import atomic_path


def write_in_blocks(
    path: str | os.PathLike[str],
    solve: Callable[[np.ndarray], np.ndarray],
    *,
    seeds: np.ndarray,
    times: np.ndarray,
    geometry: Mapping[str, np.ndarray],
    attributes: Mapping[str, Any],
    batch: int,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Compute `u` [trajectories, times, nodes, channels] float32 and write the file; it appears only when complete.

    Blocks of `batch` trajectories are kept in the folder `PATH.parts` until then: after an interruption the same call
    goes on, and gives the same file if a trajectory depends on its seed alone.

    Args:
        path: file to write.
        solve: gives `[b, times, nodes, channels]` for seeds `[b]`.
        seeds: `[trajectories]`, written as `seed`.
        times: `[times]`, written as `t`.
        geometry: points `x` [nodes, dim], written as [1, 1, nodes, dim], and arrays of cells.
        attributes: of the file: all that decides the values, `channels` among them.
        batch: trajectories in memory at once, at least 1.
        progress: called as progress(done, total) after every block.

    Raises:
        ValueError: if `batch` is below 1, `PATH.parts` is of another call, or a block was lost.
    """
    if batch < 1:
        raise ValueError(f"`batch` should be at least 1, got {batch}: raise it.")
    attributes = {**attributes, "version": _version()}
    parts = _folder(Path(path), _settings(attributes, geometry, times, batch))
    shape = (len(times), len(geometry["x"]), len(attributes["channels"]))
    blocks = [slice(first, min(first + batch, len(seeds))) for first in range(0, len(seeds), batch)]
    for block in blocks:
        if _load(parts, block, shape) is None:
            values = np.asarray(solve(seeds[block]), dtype=np.float32)
            with atomic_path(_name(parts, block)) as temporary:
                np.savez(temporary, allow_pickle=False, u=values)
        if progress is not None:
            progress(block.stop, len(seeds))
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update(attributes)
        file["x"] = geometry["x"][None, None]
        file.update({name: values for name, values in geometry.items() if name != "x"})
        file["t"], file["seed"] = times, seeds
        u = file.create_dataset("u", (len(seeds), *shape), dtype=np.float32, chunks=(1, *shape))
        for block in blocks:
            found = _load(parts, block, shape)
            if found is None:
                raise ValueError(f"`{_name(parts, block)}` was lost or damaged: repeat the call.")
            u[block] = found
    shutil.rmtree(parts)
    return Path(path)


def _settings(
    attributes: Mapping[str, Any], geometry: Mapping[str, np.ndarray], times: np.ndarray, batch: int
) -> dict[str, Any]:
    digest = hashlib.sha256()
    for name in sorted(geometry):
        digest.update(name.encode() + np.ascontiguousarray(geometry[name]).tobytes())
    settings = {**attributes, "times": times.tolist(), "nodes and cells": digest.hexdigest(), "batch": batch}
    found: dict[str, Any] = json.loads(json.dumps(settings))
    return found


def _folder(path: Path, settings: dict[str, Any]) -> Path:
    parts = path.with_name(f"{path.name}.parts")
    stored = parts / "settings.json"
    if stored.is_file():
        found = json.loads(stored.read_text())
        other = sorted(key for key in settings | found if settings.get(key) != found.get(key))
        if other:
            raise ValueError(
                f"`{parts}` holds trajectories of a call that differs in {', '.join(other)}: repeat that call, or "
                "delete the folder."
            )
    else:
        parts.mkdir(parents=True, exist_ok=True)
        with atomic_path(stored) as temporary:
            temporary.write_text(json.dumps(settings, indent=1))
    return parts


def _name(parts: Path, block: slice) -> Path:
    return parts / f"{block.start}-{block.stop}.npz"


def _load(parts: Path, block: slice, shape: tuple[int, ...]) -> np.ndarray | None:
    """The trajectories of a finished block; None where there are none, or they were damaged."""
    try:
        with _name(parts, block).open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            values: np.ndarray = stored["u"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError):
        return None
    return values if values.shape == (block.stop - block.start, *shape) else None


def _version() -> str:
    try:
        return metadata.version("irno-graph")
    except metadata.PackageNotFoundError:
        return "unknown"
