"""NetCDF files, classic and NetCDF4, as named arrays with named dimensions, read in slices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy.io import netcdf_file

from irno_graph.data.readers.hdf5 import opened, read_part, words

CLASSIC = (b"CDF\x01", b"CDF\x02")


@dataclass(frozen=True)
class Variable:
    """One array of an open file.

    Attributes:
        dims: names of its dimensions.
        shape: of the array.
        attributes: of the array.
        read: gives the stored numbers of an index.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    attributes: dict[str, Any]
    read: Callable[[tuple[slice | int, ...]], np.ndarray]

    def physical(self, index: tuple[slice | int, ...] = ()) -> np.ndarray:
        """The numbers of `index`, unpacked by scale_factor and add_offset; NaN where they are missing."""
        stored = self.read(index)
        missing = np.zeros(stored.shape, dtype=bool)
        for name in ("_FillValue", "missing_value"):
            if name in self.attributes:
                missing |= stored == np.ravel(self.attributes[name])[0]
        scale, offset = (float(np.ravel(self.attributes.get(name, default))[0]) for name, default in PACKING)
        return np.where(missing, np.nan, stored.astype(np.float64) * scale + offset)


PACKING = (("scale_factor", 1.0), ("add_offset", 0.0))


@contextmanager
def variables_of(path: Path) -> Iterator[dict[str, Variable]]:
    """All arrays of numbers in the root of the file, open until the block ends.

    Raises:
        ValueError: if the file is damaged, or neither NetCDF4/HDF5 nor classic NetCDF.
    """
    with path.open("rb") as stream:
        start = stream.read(4)
    if start in CLASSIC:
        with _classic(path) as found:
            yield found
    else:
        with opened(path) as file:
            yield {name: _hdf5_variable(file[name]) for name in file if _is_numeric(file[name])}


def _is_numeric(found: Any) -> bool:
    return isinstance(found, h5py.Dataset) and found.dtype.kind in "fiu" and found.shape is not None


def _hdf5_variable(stored: h5py.Dataset) -> Variable:
    labels = tuple(axis[0].name.rsplit("/")[-1] if len(axis) else "" for axis in stored.dims)
    if stored.is_scale:  # a dimension's own coordinate
        labels = (stored.name.rsplit("/")[-1],)
    attributes = {
        name: stored.attrs[name]
        for name in ("_FillValue", "missing_value", "scale_factor", "add_offset", "units")
        if name in stored.attrs
    }
    return Variable(labels, stored.shape, attributes, lambda index: read_part(stored, index))


@contextmanager
def _classic(path: Path) -> Iterator[dict[str, Variable]]:
    try:
        file = netcdf_file(path, "r", mmap=True)
    except Exception as error:  # the parser trusts every number in the header
        raise ValueError(
            f"`{path}` should be a sound classic NetCDF file, got: {error}: fetch it again."
        ) from error

    def reader(name: str) -> Callable[[tuple[slice | int, ...]], np.ndarray]:
        def read(index: tuple[slice | int, ...]) -> np.ndarray:
            copied = np.array(file.variables[name].data[index])
            return copied.astype(copied.dtype.newbyteorder("="))

        return read

    try:
        yield {
            name: Variable(stored.dimensions, stored.data.shape, dict(stored._attributes), reader(name))
            for name, stored in file.variables.items()
            if stored.data.dtype.kind in "fiu"
        }
    finally:
        file.close()


def units_of(variable: Variable) -> str:
    """The attribute `units`, empty where there is none."""
    return " ".join(words(variable.attributes["units"])) if "units" in variable.attributes else ""
