"""Recognising layouts, the protocol of all readers, damaged files of every layout, and `irno-graph data info`."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
import torch

from irno_graph.cli import run
from irno_graph.data.readers import (
    DarcyFile,
    LatLonFile,
    PoseidonData,
    RignoFile,
    WellData,
    as_trajectories,
    layout_of,
    open_data,
    sampled_moments,
)

X, Y = (np.arange(6) + 0.5) / 6, (np.arange(5) + 0.5) / 5


def plane(
    shape: tuple[int, ...], first: np.ndarray, second: np.ndarray, weights: tuple[float, float]
) -> np.ndarray:
    """weights[0] first + weights[1] second + 100 (flat index of the leading axes)."""
    lead = 100 * np.arange(int(np.prod(shape))).reshape(*shape, 1, 1)
    return lead + weights[0] * first[:, None] + weights[1] * second


def make_well(folder: Path) -> Path:
    path = folder / "well.hdf5"
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs.update(dataset_name="made_up", grid_type="cartesian", n_spatial_dims=2, n_trajectories=3)
        dimensions = file.create_group("dimensions")
        dimensions.attrs["spatial_dims"] = np.array([b"x", b"y"])
        for name, values in (("time", np.arange(2.0)), ("x", X), ("y", Y)):
            dimensions.create_dataset(name, data=values, chunks=values.shape, fletcher32=True)
        for name in "xy":
            bound = file.create_group(f"boundary_conditions/{name}_periodic")
            bound.attrs.update(bc_type=np.bytes_("PERIODIC"), associated_dims=np.array([name.encode()]))
        for name, part in (("t0_fields", ()), ("t1_fields", (2,)), ("t2_fields", None)):
            group = file.create_group(name)
            group.attrs["field_names"] = np.array([b"f"] if part is not None else [], dtype="S1")
            if part is not None:
                data = plane((3, 2), X, Y, (1, 10))
                data = data if part == () else np.stack([data, -data], axis=-1)
                stored = group.create_dataset("f", data=data, chunks=(1, *data.shape[1:]), fletcher32=True)
                stored.attrs.update(sample_varying=True, time_varying=True, dim_varying=[True, True])
    return path


def make_poseidon(folder: Path) -> Path:
    path = folder / "poseidon.nc"
    x, y = 2 * np.pi * X[:, None], 2 * np.pi * Y
    flow = np.stack([np.sin(y) + 0 * x, np.cos(x) + 0 * y])  # free of divergence as (x, y) alone
    fields = np.concatenate([plane((1,), X, Y, (1, 10)), flow, plane((2,), X, Y, (1, 10))])
    data = np.stack([fields, fields + 1])[None] + np.arange(3)[:, None, None, None, None]
    with netCDF4.Dataset(path, "w") as file:
        for number, size in enumerate(data.shape):
            file.createDimension(f"d{number}", size)
        names = [f"d{number}" for number in range(5)]
        file.createVariable("data", "f4", names, fletcher32=True, chunksizes=(1, *data.shape[1:]))[:] = data
    return path


def make_latlon(folder: Path, *, classic: bool = False) -> Path:
    path = folder / ("classic.nc" if classic else "latlon.nc")
    lat, lon = np.arange(-75, 90, 30.0), 45.0 * np.arange(8)
    with netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC" if classic else "NETCDF4") as file:
        for name, values in (("time", np.arange(3.0)), ("lat", lat), ("lon", lon)):
            file.createDimension(name, len(values))
            file.createVariable(name, "f8", (name,))[:] = values
        checks: dict[str, Any] = {} if classic else {"fletcher32": True, "chunksizes": (1, 6, 8)}
        file.createVariable("q", "f4", ("time", "lat", "lon"), **checks)[:] = plane((3,), lat, lon, (1, 10))
    return path


def make_darcy(folder: Path) -> Path:
    path = folder / "darcy.pt"
    pressure = np.sin(np.pi * Y)[:, None] * np.sin(np.pi * X) * np.arange(1, 4)[:, None, None]
    torch.save({"x": torch.from_numpy(plane((3,), Y, X, (10, 1))), "y": torch.from_numpy(pressure)}, path)
    return path


def make_rigno(folder: Path) -> Path:
    path = folder / "rigno.nc"
    points = np.random.default_rng(0).uniform(size=(40, 2))
    data = points @ [1.0, 10.0] + 100 * np.arange(6).reshape(3, 2, 1)
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("u", data=np.stack([data] * 4, axis=-1), chunks=(1, 2, 40, 4), fletcher32=True)
        file.create_dataset("x", data=points[None, None], chunks=(1, 1, 40, 2), fletcher32=True)
    return path


MAKERS: dict[str, tuple[Callable[[Path], Path], type, dict[str, Any]]] = {
    "well": (make_well, WellData, {}),
    "poseidon": (make_poseidon, PoseidonData, {}),
    "latlon": (make_latlon, LatLonFile, {}),
    "darcy": (make_darcy, DarcyFile, {"unpickle": True}),
    "rigno": (make_rigno, RignoFile, {}),
}


@pytest.fixture(params=list(MAKERS))
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_layout_is_recognised_by_content_and_keeps_the_protocol(tmp_path: Path, layout: str) -> None:
    make, reader, options = MAKERS[layout]
    path = make(tmp_path).rename(tmp_path / "anything.bin") if layout != "well" else make(tmp_path)
    assert layout_of(path) == layout
    source = open_data(path, **options)
    assert isinstance(source, reader)
    values, graph = as_trajectories(source)
    assert values.dtype == torch.float32
    assert values.shape == (len(source), len(source.times), graph.num_nodes, len(source.channels))
    assert source.times.dtype == np.float64
    assert source.period == graph.period or (source.period is None and graph.period is None)
    assert source.decisions
    for part, times in (
        (slice(1, None), slice(0, 1)),
        (slice(0, 3, 2), slice(None, None, 2)),
        (-1, slice(1, 1)),
    ):
        index = part if isinstance(part, slice) else slice(len(source) - 1, None)
        assert torch.equal(as_trajectories(source, part, times=times)[0], values[index, times])
    with pytest.raises(IndexError, match=f"got index {len(source)}"):
        source.read(len(source))
    if layout in ("well", "rigno"):  # at the graph's own positions
        place = graph.pos.double()
        torch.testing.assert_close(
            values[0, 0, :, 0].double(), place[:, 0] + 10 * place[:, 1], rtol=0, atol=1e-5
        )


def test_folders_are_recognised(tmp_path: Path) -> None:
    (tmp_path / "a" / "data" / "valid").mkdir(parents=True)
    make_well(tmp_path / "a" / "data" / "valid")
    assert len(open_data(tmp_path / "a", split="valid")) == 3
    (tmp_path / "b").mkdir()
    make_poseidon(tmp_path / "b").rename(tmp_path / "b" / "data_0.nc")
    shutil.copy(tmp_path / "b" / "data_0.nc", tmp_path / "b" / "data_1.nc")
    assert len(open_data(tmp_path / "b")) == 6


def test_what_is_not_known_is_refused_with_what_was_found(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["temperature"] = np.ones(3)
    with zipfile.ZipFile(tmp_path / "b.pt", "w") as archive:
        archive.writestr("notes.txt", "nothing")
    (tmp_path / "c.csv").write_text("1,2,3")
    (tmp_path / "d").mkdir()
    for name, said in (
        ("a.h5", "got temperature inside. Known are: the Well"),
        ("b.pt", "got an archive of notes.txt. Known are"),
        ("c.csv", r"got a file that begins with b'1,2,3'. Known are"),
        ("d", "got a folder of nothing. Known are"),
        ("e.nc", "found nothing: check the path"),
    ):
        with pytest.raises(ValueError, match=said):
            open_data(tmp_path / name)


def test_moments_of_a_sample_are_those_of_numpy(tmp_path: Path) -> None:
    source = open_data(make_well(tmp_path))
    values = source.read().double().numpy()
    every, some = sampled_moments(source, 3), sampled_moments(source, 2, snapshots=1)
    np.testing.assert_allclose(every.mean, values.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(every.std, values.std(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(some.mean, values[[0, 2], :1].mean(axis=(0, 1, 2)), rtol=1e-12)


def damaged(content: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Cut short, one bit flipped, a run of zeros, of noise, or a piece moved."""
    generator = np.random.default_rng(seed)
    for number in range(count):
        copy = bytearray(content)
        first = int(generator.integers(len(copy)))
        last = min(len(copy), first + int(generator.integers(1, 64)))
        kind = number % 5
        if kind == 0:
            del copy[first:]
        elif kind == 1:
            copy[first] ^= 1 << int(generator.integers(8))
        elif kind == 2:
            copy[first:last] = bytes(last - first)
        elif kind == 3:
            copy[first:last] = generator.bytes(last - first)
        else:
            piece = copy[first:last]
            del copy[first:last]
            where = int(generator.integers(len(copy)))
            copy[where:where] = piece
        yield bytes(copy)


def test_a_damaged_file_reads_equal_or_is_refused(tmp_path: Path, layout: str) -> None:
    """All numbers here are under checksums, and so are most headers."""
    make, _, options = MAKERS[layout]
    path = make(tmp_path)
    expected = open_data(path, **options).read()
    refusals = []
    for content in damaged(path.read_bytes(), 60, seed=1):
        path.write_bytes(content)
        try:
            found = open_data(path, **options).read()
        except ValueError as error:
            refusals.append(str(error))
            continue
        assert torch.equal(found, expected)
    assert len(refusals) > 10
    assert all(path.name in sentence for sentence in refusals)


def test_a_damaged_classic_file_keeps_its_shape_or_is_refused(tmp_path: Path) -> None:
    """Classic NetCDF has no checksums."""
    path = make_latlon(tmp_path, classic=True)
    expected = open_data(path).read()
    for content in damaged(path.read_bytes(), 60, seed=2):
        path.write_bytes(content)
        try:
            found = open_data(path).read()
        except ValueError:
            continue
        assert found.shape == expected.shape
        assert torch.isfinite(found).all()


def test_the_command_says_what_is_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = make_poseidon(tmp_path)
    assert run(["data", "info", str(path), "--samples", "2"]) == 0
    text = capsys.readouterr().out
    for line in ("Poseidon / PDEgym", "rho, vx, vy, p, E", "x 1, y 1", "axes are (x, y)", "2 samples:"):
        assert line in text
    assert run(["data", "info", str(path), "--axes", "yx", "--samples", "0"]) == 0
    assert "order of axes as passed: yx" in capsys.readouterr().out
    assert run(["data", "info", str(path), "--split", "test"]) == 2
    assert "--split should be left out" in capsys.readouterr().err
    darcy = make_darcy(tmp_path)
    assert run(["data", "info", str(darcy)]) == 2
    assert "--unpickle" in capsys.readouterr().err
    assert run(["data", "info", str(darcy), "--unpickle"]) == 0
    assert "half a step inside" in capsys.readouterr().out
    assert run(["data", "info", str(make_well(tmp_path))]) == 0
    assert "boundaries  x periodic, y periodic" in capsys.readouterr().out
