"""Files of trajectories on the sphere, written by the netCDF4 library: nodes, pairs, and what is wrong, by name."""

import h5py
import netCDF4
import numpy as np
import pytest
import torch

from irno_graph.cli import run
from irno_graph.data.readers import SphereTrajectories, layout_of, open_data
from irno_graph.data.sphere.file import Layout, write
from irno_graph.graph import Graph

GAUSS_5 = np.degrees(
    np.arcsin([0.9061798459386640, 0.5384693101056831, 0.0, -0.5384693101056831, -0.9061798459386640])
)


def planes(lat, lon):
    """x, y and z of the unit sphere `[3, lat, lon]`."""
    phi, lam = np.radians(lat)[:, None], np.radians(lon)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi) + 0 * lam])


def make_file(path, lat=GAUSS_5, nlon=8, *, coarse=True, skip=(), **changed):
    """Channels a, b, c: x, y, z + 10 trajectory + time."""
    grids = {"": (lat, 360 * np.arange(nlon) / nlon)}
    if coarse:
        grids["coarse_"] = (np.degrees(np.arcsin([0.6**0.5, 0, -(0.6**0.5)])), 90.0 * np.arange(4))
    shift = 10 * np.arange(3)[:, None, None, None] + np.arange(2.0)[:, None, None]
    values = {"trajectory": np.arange(3), "time": np.array([0.0, 6.0])}
    for prefix, (north, east) in grids.items():
        values |= {f"{prefix}lat": north, f"{prefix}lon": east}
        values |= {
            prefix + name: plane + shift for name, plane in zip("abc", planes(north, east), strict=True)
        }
    values |= changed
    with netCDF4.Dataset(path, "w") as file:
        if "channels" not in skip:
            file.channels = ["a", "b", "c"]
        for name, value in values.items():
            if name in skip:
                continue
            for size in value.shape:
                if f"n{size}" not in file.dimensions:
                    file.createDimension(f"n{size}", size)
            kind = "f4" if value.ndim == 4 else "f8"
            dims = [f"n{size}" for size in value.shape]
            file.createVariable(name, kind, dims, fletcher32=value.ndim == 4)[:] = value
    return path


def test_fields_lie_at_the_nodes_of_the_graphs(tmp_path):
    """The channels are the coordinates, so each node's values are its position."""
    path = make_file(tmp_path / "a.nc")
    assert layout_of(path) == "sphere"
    source = open_data(path)
    assert isinstance(source, SphereTrajectories)
    shift = 10 * torch.arange(3)[:, None, None, None] + torch.arange(2)[:, None, None]
    for values, graph, size in (
        (source.read(), source.graph(), (5, 8)),
        (source.coarse(), source.coarse_graph(), (3, 4)),
    ):
        torch.testing.assert_close(values, (graph.pos + shift).float(), rtol=0, atol=2e-6)
        assert torch.equal(graph.pos, Graph.from_sphere(*size, grid="legendre-gauss").pos)
    assert torch.equal(source.read(2), source.read()[2:])
    assert torch.equal(source.coarse(slice(1, 3), slice(1, 2)), source.coarse()[1:, 1:])
    assert list(source.times) == [0, 6]


@pytest.mark.parametrize("grid", ["equiangular", "lobatto", "legendre-gauss"])
def test_what_is_written_is_read_and_is_netcdf(tmp_path, grid):
    layout = Layout(6, 12, grid, (4, 8))
    fields = [
        {name: np.random.default_rng(number).normal(size=(2, *shape, 3)).astype(np.float32) + number}
        | {"coarse": np.full((2, 4, 8, 3), [number, 1, 2], dtype=np.float32)}
        for number in range(2)
        for name, shape in (("fine", (6, 12)),)
    ]
    with h5py.File(tmp_path / "a.nc", "w") as file:
        write(file, layout, np.array([0.0, 3.0]), iter(fields), 2)
    source = SphereTrajectories(tmp_path / "a.nc")
    assert (source.grid, source.shape, source.coarse_shape) == (grid, (6, 12), (4, 8))
    for number in range(2):
        assert np.array_equal(source.read(number)[0], fields[number]["fine"].reshape(2, 72, 3))
        assert np.array_equal(source.coarse(number)[0], fields[number]["coarse"].reshape(2, 32, 3))
    with netCDF4.Dataset(tmp_path / "a.nc") as others:
        assert others["vorticity"].dimensions == ("trajectory", "time", "lat", "lon")
        assert others["coarse_height"].dimensions == ("trajectory", "time", "coarse_lat", "coarse_lon")
        assert others["divergence"].units == "1/s"
        assert np.array_equal(others["coarse_divergence"][1], np.full((2, 4, 8), 2))


def test_info_says_what_is_in_it(tmp_path, capsys):
    assert run(["data", "info", str(make_file(tmp_path / "a.nc"))]) == 0
    said = capsys.readouterr().out
    for words in (
        "Trajectories on the sphere",
        "samples     3",
        "nodes       40",
        "a, b, c",
        "legendre-gauss, 5 x 8",
        "3 x 4",
    ):
        assert words in said


def test_a_file_without_a_coarser_grid_says_how_to_get_one(tmp_path):
    source = SphereTrajectories(make_file(tmp_path / "a.nc", coarse=False))
    assert source.coarse_shape is None
    for asking in (source.coarse, source.coarse_graph):
        with pytest.raises(ValueError, match="has no coarser grid: generate it with `coarse`"):
            asking()


SHAPE = (3, 2, 5, 8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"skip": ("channels",)}, "should have the attribute `channels`"),
        ({"skip": ("b",)}, "should hold the array /b"),
        ({"skip": ("coarse_c",)}, "should hold the array /coarse_c"),
        ({"a": np.zeros((3, 2, 8, 5))}, r"a should have shape \[3, 2, 5, 8\], got \[3, 2, 8, 5\]"),
        ({"coarse_a": np.zeros(SHAPE)}, r"coarse_a should have shape \[3, 2, 3, 4\]"),
        (
            {"lat": -GAUSS_5},
            "should be a grid of equiangular, legendre-gauss, lobatto latitudes from the north",
        ),
        ({"lat": GAUSS_5 + 0.01}, "should be a grid of"),
        ({"lon": 45.0 * np.arange(8) - 180}, "longitudes from 0, got"),
        ({"lat": np.linspace(90, -90, 5)}, "of one kind, got equiangular and legendre-gauss"),
        ({"time": np.array([0.0, np.nan])}, "time should be finite"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        SphereTrajectories(make_file(tmp_path / "a.nc", **changes))


def test_a_trajectory_that_is_not_finite_or_damaged_is_named(tmp_path):
    values = np.zeros(SHAPE)
    values[1, 1, 2, 3] = np.nan
    source = SphereTrajectories(make_file(tmp_path / "nan.nc", b=values))
    assert torch.isfinite(source.read(0)).all()
    assert torch.isfinite(source.coarse(1)).all()
    with pytest.raises(ValueError, match=r"trajectory 1 of `.*nan\.nc` has values that are NaN"):
        source.read()
    path = make_file(tmp_path / "cut.nc")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"cut\.nc` should be a sound HDF5/NetCDF4 file"):
        open_data(path)
    with pytest.raises(IndexError, match="has 3 samples, got index 3"):
        SphereTrajectories(make_file(tmp_path / "a.nc")).read(3)


def test_the_command_wants_two_numbers_for_the_coarse_grid(tmp_path, capsys):
    assert run(
        ["data", "shallow-water", "--out", str(tmp_path / "a.nc"), "--trajectories", "1", "--coarse", "8"]
    )
    assert "--coarse should be latitudes x longitudes as in 8x16, got '8'" in capsys.readouterr().err
