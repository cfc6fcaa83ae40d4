"""Latitudes and longitudes in every order a file may have them; areas, levels, packing, damage."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
import torch

from irno_graph.data.readers.latlon import LatLonFile
from irno_graph.data.readers.sphere_grid import LatLonGrid
from irno_graph.graph import Graph
from irno_graph.graph.spheres import SphereGrid


def write_latlon(
    path: Path,
    lat: np.ndarray,
    lon: np.ndarray,
    *,
    lon_first: bool = False,
    levels: tuple[float, ...] = (),
    classic: bool = False,
    **options: Any,
) -> Path:
    """z = cos(lat) cos(lon) + 10 sin(lat) + 100 t + 1000 level, and an orography without time: with netCDF4."""
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_OFFSET" if classic else "NETCDF4") as file:
        sizes = {
            "time": None if classic else 3,
            "level": len(levels),
            "latitude": len(lat),
            "longitude": len(lon),
        }
        for name, size in sizes.items():
            if size != 0:
                file.createDimension(name, size)
        hours = file.createVariable("time", "i4", ("time",))
        hours.units = "hours since 1900-01-01"
        hours[:] = [6, 12, 18]
        for name, numbers in (("latitude", lat), ("longitude", lon), ("level", np.array(levels))):
            if len(numbers):
                file.createVariable(name, "f4", (name,))[:] = numbers
        dims = ("longitude", "latitude") if lon_first else ("latitude", "longitude")
        surface = field(lat, lon)
        surface = surface.T if lon_first else surface
        file.createVariable("orography", "f8", dims)[:] = surface
        plane = surface + 100 * np.arange(3)[:, None, None]
        if not classic:
            options = {"chunksizes": (1, *surface.shape), **options}
        file.createVariable("z", "f4", ("time", *dims), **options)[:] = plane
        if levels:
            stacked = plane[:, None] + 1000 * np.array(levels)[None, :, None, None]
            file.createVariable("t", "f4", ("time", "level", *dims))[:] = stacked
    return path


def field(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    phi, theta = np.meshgrid(np.radians(lat), np.radians(lon), indexing="ij")
    return np.cos(phi) * np.cos(theta) + 10 * np.sin(phi)


EQUIANGULAR = np.linspace(90, -90, 13)
CENTRED = 90 - 15 * (np.arange(12) + 0.5)
EAST = 22.5 * np.arange(16)


@pytest.mark.parametrize("lat", [EQUIANGULAR, CENTRED], ids=["with poles", "without poles"])
@pytest.mark.parametrize(
    ("south_first", "lon_first", "classic"), list(itertools.product([False, True], repeat=3))
)
def test_any_order_of_the_file_gives_the_fields_at_the_positions(
    tmp_path: Path, lat: np.ndarray, south_first: bool, lon_first: bool, classic: bool
) -> None:
    for number, lon in enumerate((EAST, (EAST + 180) % 360 - 180, EAST - 180, EAST[::-1])):
        if number == 1:
            lon = np.sort(lon)
        path = tmp_path / f"{number}.nc"
        write_latlon(path, lat[::-1] if south_first else lat, lon, lon_first=lon_first, classic=classic)
        data = LatLonFile(path)
        assert data.grid.is_global
        graph = data.graph()
        pos = graph.pos.numpy()
        np.testing.assert_allclose(pos, data.grid.positions(), atol=1e-7)
        expected = pos[:, 0] + 10 * pos[:, 2]
        values = data.read()
        assert values.shape == (1, 3, len(lat) * 16, 1)
        for time in range(3):
            np.testing.assert_allclose(values[0, time, :, 0], expected + 100 * time, atol=1e-4)
        np.testing.assert_allclose(data.read_constants()[:, 0], expected, atol=1e-6)
        assert torch.equal(data.read(0, slice(1, 3)), values[:, 1:])
        assert data.times.tolist() == [6, 12, 18]
        assert data.time_units == "hours since 1900-01-01"


def test_grids_that_are_known_get_their_quadrature(tmp_path: Path) -> None:
    gauss = np.degrees(np.arcsin(np.polynomial.legendre.leggauss(12)[0]))
    kinds: list[tuple[np.ndarray, SphereGrid]] = [(EQUIANGULAR, "equiangular"), (gauss, "legendre-gauss")]
    for lat, kind in kinds:
        graph = LatLonFile(write_latlon(tmp_path / "a.nc", lat, EAST)).graph()
        assert graph.key() == Graph.from_sphere(len(lat), 16, grid=kind).key()
    graph = LatLonFile(write_latlon(tmp_path / "a.nc", CENTRED, EAST)).graph()
    assert not graph.sphere_grid
    assert float(graph.mass.sum()) == pytest.approx(4 * math.pi, rel=1e-12)


@pytest.mark.parametrize("lat", [EQUIANGULAR, CENTRED, np.array([80, 30, 0, -20, -75.0])])
def test_areas_cover_the_sphere_and_zones_exactly(lat: np.ndarray) -> None:
    """The sum is 4 pi; the rows down to an edge cover 2 pi (1 - sin edge), Archimedes."""
    grid = LatLonGrid.of(lat, EAST)
    areas = grid.areas().reshape(len(lat), 16)
    if grid.is_global:
        assert areas.sum() == pytest.approx(4 * math.pi, rel=1e-14)
    down = np.cumsum(areas.sum(axis=1))
    top = np.sin(np.radians(grid.edges[0]))
    np.testing.assert_allclose(down, 2 * np.pi * (top - np.sin(np.radians(grid.edges[1:]))), rtol=1e-13)
    np.testing.assert_allclose(areas, areas[:, :1] * np.ones(16))


def test_a_mean_over_areas_converges_at_order_two() -> None:
    """Of sin^2(lat): 1/3."""
    errors = []
    for rows in (12, 24, 48):
        grid = LatLonGrid.of(90 - 180 / rows * (np.arange(rows) + 0.5), EAST)
        square = grid.positions()[:, 2] ** 2
        errors.append(abs((grid.areas() * square).sum() / (4 * np.pi) - 1 / 3))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (np.abs(orders - 2) < 0.1).all()


def test_a_region_keeps_its_area_and_is_not_closed(tmp_path: Path) -> None:
    lat, lon = np.arange(60, 34, -2.5), np.arange(-12.5, 30, 2.5)
    data = LatLonFile(write_latlon(tmp_path / "a.nc", lat, lon))
    assert not data.grid.is_global
    graph = data.graph()
    north, south = np.sin(np.radians([61.25, 33.75]))
    assert float(graph.mass.sum()) == pytest.approx((north - south) * np.radians(2.5 * len(lon)), rel=1e-12)
    expected = graph.pos[:, 0] + 10 * graph.pos[:, 2]
    torch.testing.assert_close(data.read()[0, 0, :, 0].double(), expected, rtol=0, atol=1e-5)
    assert float(graph.edge_attr[:, -1].max()) < 2 * np.radians(2.5) * 1.5


def test_levels_become_channels(tmp_path: Path) -> None:
    path = write_latlon(tmp_path / "a.nc", CENTRED, EAST, levels=(250.0, 500.0, 850.0))
    data = LatLonFile(path)
    assert data.channels == ("z", "t_250", "t_500", "t_850")
    values = data.read()
    torch.testing.assert_close(values[..., 2] - values[..., 0], torch.full_like(values[..., 0], 5e5))
    some = LatLonFile(path, variables=["t"], levels=[850, 250])
    assert some.channels == ("t_850", "t_250")
    assert torch.equal(some.read(), values[..., [3, 1]])
    with pytest.raises(ValueError, match=r"`levels` should be among \[250.0, 500.0, 850.0\], got \[100\]"):
        LatLonFile(path, levels=[100])
    with pytest.raises(ValueError, match=r"among them \['q'\], got"):
        LatLonFile(path, variables=["q"])


@pytest.mark.parametrize("classic", [False, True])
def test_packed_numbers_are_unpacked_and_missing_ones_name_their_time(tmp_path: Path, classic: bool) -> None:
    path = write_latlon(tmp_path / "a.nc", CENTRED, EAST, classic=classic)
    with netCDF4.Dataset(path, "a") as file:
        packed = file.createVariable("q", "i2", ("time", "latitude", "longitude"), fill_value=-32767)
        packed.scale_factor, packed.add_offset = 0.125, 500.0
        packed[:] = 500 + 0.125 * np.arange(3 * 12 * 16).reshape(3, 12, 16)
    data = LatLonFile(path, variables=["q"])
    np.testing.assert_array_equal(data.read()[0, :, :, 0], 500 + 0.125 * np.arange(576).reshape(3, 192))
    with netCDF4.Dataset(path, "a") as file:
        file["q"][2, 5, 6] = np.ma.masked
    assert torch.isfinite(LatLonFile(path, variables=["q"]).read(0, slice(0, 2))).all()
    with pytest.raises(ValueError, match=r"time 2 of .*a.nc. has values that are NaN"):
        LatLonFile(path, variables=["q"]).read()


def test_a_damaged_later_time_leaves_the_first_readable(tmp_path: Path) -> None:
    path = write_latlon(tmp_path / "a.nc", CENTRED, EAST, fletcher32=True)
    first = LatLonFile(path).read(0, slice(0, 1))
    with h5py.File(path) as file:
        where = file["z"].id.get_chunk_info(2).byte_offset
    content = bytearray(path.read_bytes())
    content[where + 100] ^= 0x40
    path.write_bytes(content)
    data = LatLonFile(path)
    assert torch.equal(data.read(0, slice(0, 1)), first)
    with pytest.raises(ValueError, match=r"time 2 of .*a.nc. cannot be read"):
        data.read()


def test_coordinates_that_make_no_sphere_are_refused() -> None:
    for lat, lon, said in (
        (np.array([80, 90, 100.0]), EAST, r"within \[-90, 90\]"),
        (np.array([80, 20, 50.0]), EAST, "all ascending or all descending"),
        (CENTRED, np.array([0, 10, 30.0]), "even steps"),
        (CENTRED, 30.0 * np.arange(14), "once around at most"),
    ):
        with pytest.raises(ValueError, match=said):
            LatLonGrid.of(lat, lon)
    with pytest.raises(ValueError, match="leave the pole out"):
        LatLonGrid.of(EQUIANGULAR, EAST + 3).graph()
