"""Files of trajectories, computed in blocks whose trajectories an interruption leaves in place."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from irno_graph.files import atomic_path


@dataclass(frozen=True)
class Parts:
    """Finished trajectories of a file that is not complete, one in each file `NUMBER.npz` of the folder `PATH.parts`.

    The folder is made with the first of them.

    Attributes:
        folder: where they are.
        settings: of the call, as JSON has them; `settings.json` says what the folder is of.
    """

    folder: Path
    settings: dict[str, Any]

    @classmethod
    def of(cls, path: str | os.PathLike[str], settings: Mapping[str, Any]) -> Parts:
        """The parts of the file at `path`; `settings` are all that decides their values.

        Raises:
            ValueError: if the folder is of other settings, naming what differs.
        """
        target = Path(path)
        parts = cls(target.with_name(f"{target.name}.parts"), json.loads(json.dumps(dict(settings))))
        if parts._stored.is_file():
            found = json.loads(parts._stored.read_text())
            keys = parts.settings | found
            other = sorted(key for key in keys if parts.settings.get(key) != found.get(key))
            if other:
                raise ValueError(
                    f"`{parts.folder}` holds trajectories of a call that differs in {', '.join(other)}: repeat that "
                    "call, or delete the folder."
                )
        return parts

    def save(self, number: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep the trajectory `number`."""
        if not self._stored.is_file():
            with atomic_path(self._stored) as temporary:
                temporary.write_text(json.dumps(self.settings, indent=1))
        with atomic_path(self._name(number)) as temporary:
            np.savez(temporary, allow_pickle=False, **arrays)

    def load(self, number: int) -> dict[str, np.ndarray] | None:
        """The arrays of a finished trajectory; None where there is none, or one that was damaged."""
        try:
            with self._name(number).open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                return dict(stored)
        except (OSError, ValueError, zipfile.BadZipFile, EOFError):
            return None

    def take(self, number: int) -> dict[str, np.ndarray]:
        """The arrays of a trajectory that was finished before.

        Raises:
            ValueError: if it is not there.
        """
        found = self.load(number)
        if found is None:
            raise ValueError(f"`{self._name(number)}` was lost or damaged: repeat the call.")
        return found

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder)

    @property
    def _stored(self) -> Path:
        return self.folder / "settings.json"

    def _name(self, number: int) -> Path:
        return self.folder / f"{number}.npz"


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

    The file has RIGNO's layout. Finished trajectories are kept in the folder `PATH.parts` until then: after an
    interruption the same call goes on, also with another `batch` or more trajectories, and gives the same file if a
    trajectory depends on its seed alone.

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
        ValueError: if `batch` is below 1, `PATH.parts` is of another call, or a trajectory in it was lost.
    """
    if batch < 1:
        raise ValueError(f"`batch` should be at least 1, got {batch}: raise it.")
    attributes = {**attributes, "version": _version()}
    parts = Parts.of(path, {**attributes, "times": times.tolist(), "nodes and cells": _digest(geometry)})
    shape = (len(times), len(geometry["x"]), len(attributes["channels"]))
    for first in range(0, len(seeds), batch):
        stop = min(first + batch, len(seeds))
        missing = [number for number in range(first, stop) if not _is_whole(parts.load(number), shape)]
        if missing:
            for number, values in zip(missing, solve(seeds[missing]), strict=True):
                parts.save(number, {"u": np.asarray(values, dtype=np.float32)})
        if progress is not None:
            progress(stop, len(seeds))
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update(attributes)
        file["x"] = geometry["x"][None, None]
        file.update({name: values for name, values in geometry.items() if name != "x"})
        file["t"], file["seed"] = times, seeds
        u = file.create_dataset("u", (len(seeds), *shape), dtype=np.float32, chunks=(1, *shape))
        for number in range(len(seeds)):
            u[number] = parts.take(number)["u"]
    parts.remove()
    return Path(path)


def _is_whole(found: Mapping[str, np.ndarray] | None, shape: tuple[int, ...]) -> bool:
    return found is not None and "u" in found and found["u"].shape == shape


def _digest(geometry: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(geometry):
        digest.update(name.encode() + np.ascontiguousarray(geometry[name]).tobytes())
    return digest.hexdigest()


def _version() -> str:
    try:
        return metadata.version("irno-graph")
    except metadata.PackageNotFoundError:
        return "unknown"
