"""Experiment folders of the reference implementation: configs.json, stats.pkl and an orbax checkpoint, without JAX."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from irno_graph.bases.rigno.operator import RIGNO
from irno_graph.files import existing_file

PREFIX = "state.params."
ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
    *(
        (f"numpy.{core}.{module}", name)
        for core in ("core", "_core")
        for module, name in (
            ("multiarray", "_reconstruct"),
            ("multiarray", "scalar"),
            ("numeric", "_frombuffer"),
        )
    ),
}


class ExperimentError(ValueError):
    """A folder that is no experiment of the reference implementation, or a damaged one."""


def load_reference(experiment: str | os.PathLike[str], *, epoch: int | None = None) -> RIGNO:
    """The operator that a run of the reference implementation left behind, ready to use.

    Args:
        experiment: a folder with `configs.json`, `stats.pkl` and `checkpoints/<epoch>/default`.
        epoch: of the checkpoint; None is the last one (the reference keeps the best alone).

    Raises:
        ValueError: if something of it is missing, damaged, or of another kind; a pickle that holds anything but
            dictionaries, strings, numbers and numpy arrays is refused, and nothing in it is run.
        ImportError: if tensorstore, which reads the checkpoint, is not installed.
    """
    folder = Path(experiment)
    config = _json(existing_file(folder / "configs.json"))
    statistics = _statistics(existing_file(folder / "stats.pkl"))
    params = read_checkpoint(_checkpoint(folder / "checkpoints", epoch))
    return RIGNO.from_flax(config, params, statistics=statistics)


def read_checkpoint(folder: Path) -> dict[str, np.ndarray]:
    """Parameters, path -> array, of an orbax checkpoint `folder` (an OCDBT store of zarr arrays).

    Raises:
        ValueError: if there are none.
        ImportError: if tensorstore is not installed.
    """
    try:
        import tensorstore
    except ImportError as error:
        raise ImportError(
            'orbax checkpoints are read with tensorstore: install it with pip install "irno-graph[rigno]".'
        ) from error
    base = {"driver": "ocdbt", "base": {"driver": "file", "path": f"{folder.resolve()}/"}}
    try:
        keys = tensorstore.KvStore.open(base).result().list().result()
        names = [key.decode().removesuffix("/.zarray") for key in keys if key.endswith(b"/.zarray")]
        wanted = [name for name in names if name.startswith(PREFIX)]
        found = {
            name.removeprefix(PREFIX).replace(".", "/"): tensorstore.open(
                {"driver": "zarr", "kvstore": {**base, "path": f"{name}/"}}
            )
            for name in wanted
        }
        params = {path: np.asarray(opened.result().read().result()) for path, opened in found.items()}
    except (ValueError, OSError, RuntimeError) as error:
        raise ExperimentError(
            f"`{folder}` is no orbax checkpoint that can be read: {_line(error)}"
        ) from error
    if not params:
        raise ExperimentError(
            f"`{folder}` should hold arrays named {PREFIX}..., found {len(names)} others: name the folder `default` "
            "of a checkpoint."
        )
    return params


def _checkpoint(folder: Path, epoch: int | None) -> Path:
    there = sorted(int(part.name) for part in folder.glob("*") if part.name.isdigit() and part.is_dir())
    if not there or (epoch is not None and epoch not in there):
        wanted = "one of its epochs" if epoch is None else f"epoch {epoch}"
        raise ExperimentError(f"`{folder}` should hold {wanted}, found epochs {there}: check the path.")
    return folder / str(there[-1] if epoch is None else epoch) / "default"


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ExperimentError(f"`{path}` should be JSON: {_line(error)}") from error
    if not isinstance(found, dict):
        raise ExperimentError(f"`{path}` should hold an object, got {type(found).__name__}.")
    return found


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, and only numpy arrays are let in")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _statistics(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            found = _ArraysOnly(file).load()
    except (
        pickle.UnpicklingError,
        EOFError,
        AttributeError,
        ImportError,
        IndexError,
        TypeError,
        ValueError,
    ) as error:
        raise ExperimentError(f"`{path}` should be a pickle of numpy arrays: {_line(error)}.") from error
    if not isinstance(found, dict):
        raise ExperimentError(f"`{path}` should hold a dictionary, got {type(found).__name__}.")
    return found


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
