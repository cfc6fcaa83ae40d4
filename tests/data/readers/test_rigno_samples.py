"""RIGNO's files with points of each sample, with coefficients, without times: formulas come back at their points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
import torch
from flow_sources import MESH, Samples, flows, write_flows_nc
from torch.utils.data import DataLoader

from irno_graph.cli import run
from irno_graph.data.readers import RignoFile, RignoSamples, as_trajectories, open_data
from irno_graph.data.validation import validate

SAMPLES, NODES = 3, 40


def places() -> np.ndarray:
    """Random points with the corners of the unit square, stretched by 1 + n / 2 in sample n."""
    points = np.random.default_rng(1).uniform(size=(SAMPLES, NODES, 2))
    points[:, :4] = [[0, 0], [1, 0], [1, 1], [0, 1]]
    return points * (1 + np.arange(SAMPLES) / 2)[:, None, None]


PLACES = places()


def formula(points: np.ndarray, time: float) -> np.ndarray:
    return np.stack([points[..., 0] + 10 * points[..., 1] + 100 * time, points[..., 0] * time], axis=-1)


def write(path: Path, arrays: dict[str, np.ndarray], **options: Any) -> Path:
    with netCDF4.Dataset(path, "w") as file:
        for name, values in arrays.items():
            names = [
                file.createDimension(f"{name}{axis}", size).name for axis, size in enumerate(values.shape)
            ]
            chunks = (1, *values.shape[1:])
            file.createVariable(name, "f8", names, chunksizes=chunks, fill_value=False, **options)[:] = values
    return path


def moving(path: Path, **options: Any) -> Path:
    u = np.stack([formula(PLACES, time) for time in (0.0, 0.5, 1.0)], axis=1)
    return write(path, {"u": u, "x": PLACES[:, None], "c": PLACES[:, None, :, :1] ** 2}, **options)


def test_each_sample_has_its_own_points_and_graph(tmp_path: Path) -> None:
    source = open_data(moving(tmp_path / "a.nc"))
    assert isinstance(source, RignoSamples)
    assert (len(source), source.times.tolist(), source.channels) == (SAMPLES, [0, 0.5, 1], ("u0", "u1"))
    for index in (2, 0, 1):
        graph = source.graph(index)
        assert float(graph.mass.sum()) == pytest.approx((1 + index / 2) ** 2)  # Delaunay fills the square
        for number, time in enumerate(source.times):
            found = source.read(index, slice(number, number + 1))[0, 0]
            np.testing.assert_allclose(found, formula(graph.pos.numpy(), time), rtol=1e-6)
        assert source.coefficients is not None
        np.testing.assert_allclose(
            source.coefficients.read(index)[0, 0, :, 0], graph.pos[:, 0] ** 2, rtol=1e-6
        )
    torch.testing.assert_close(source.read(slice(0, 3, 2))[1], source.read(2)[0])
    for call in (source.graph, lambda: as_trajectories(source)):
        with pytest.raises(ValueError, match="has other points in each sample: pass its `index`"):
            call()
    with pytest.raises(IndexError, match="got index 3"):
        source.graph(3)
    named = {finding.check: finding.verdict for finding in validate(source)}
    assert set(named.values()) == {"ok"}


@pytest.mark.parametrize("axes", [3, 4])
def test_steady_sets_have_one_time(tmp_path: Path, axes: int) -> None:
    middle = () if axes == 3 else (None,)
    u, c = (values[(slice(None), *middle)] for values in (formula(PLACES, 1.0), PLACES[..., :1]))
    source = open_data(write(tmp_path / "a.nc", {"u": u, "c": c, "x": PLACES[:, None]}))
    assert isinstance(source, RignoSamples)
    assert source.times.tolist() == [0]
    np.testing.assert_allclose(source.read()[:, 0], formula(PLACES, 1.0), rtol=1e-6)
    assert source.coefficients is not None
    np.testing.assert_allclose(source.coefficients.read(1)[0, 0, :, 0], PLACES[1, :, 0], rtol=1e-6)
    fixed = open_data(write(tmp_path / "b.nc", {"u": formula(PLACES, 1.0), "x": PLACES[:1, None]}))
    np.testing.assert_allclose(fixed.graph().pos, PLACES[0])
    assert float(fixed.graph().mass.sum()) == pytest.approx(1)
    assert isinstance(fixed, RignoSamples)
    assert not fixed.moving
    np.testing.assert_allclose(fixed.graph(2).pos, PLACES[0])  # the points of all samples
    assert fixed.read(1, slice(0, 0)).shape == (1, 0, NODES, 2)


def test_names_are_those_of_the_file_where_they_fit(tmp_path: Path) -> None:
    """Four variables of a steady set are not rho, vx, vy, p; names for another number of variables are none."""
    u = np.concatenate([formula(PLACES, 1.0)] * 2, axis=-1)
    path = write(tmp_path / "a.nc", {"u": u, "x": PLACES[:, None]})
    assert open_data(path).channels == ("u0", "u1", "u2", "u3")
    with h5py.File(path, "a") as file:
        file.attrs["channels"] = ["a", "b", "c"]
    assert open_data(path).channels == ("u0", "u1", "u2", "u3")
    with h5py.File(path, "a") as file:
        file.attrs["channels"] = ["a", "b", "c", "d"]
    assert open_data(path).channels == ("a", "b", "c", "d")


def test_one_period_and_points_that_are_not_finite(tmp_path: Path) -> None:
    spoiled = PLACES.copy()
    spoiled[1, 5, 0] = np.nan
    path = write(tmp_path / "a.nc", {"u": formula(PLACES, 1.0), "x": spoiled[:, None]})
    with h5py.File(path, "a") as file:
        file.attrs["period"] = (3.0, 0.0)
    source = open_data(path)
    assert source.period == (3.0, None)
    assert isinstance(source, RignoSamples)
    with pytest.raises(ValueError, match=r"points of sample 1 of .* should be finite"):
        source.graph(1)


def test_points_of_another_number_of_axes_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nc", {"u": formula(PLACES, 1.0), "x": PLACES[:, None, :, :1]})
    with pytest.raises(ValueError, match=r"nodes, 2 or 3\], got \[3, 40, 2\] and \[3, 1, 40, 1\]"):
        open_data(path)
    flat = open_data(write(tmp_path / "b.nc", {"u": formula(PLACES, 1.0)[:, None], "x": PLACES}))
    assert isinstance(flat, RignoSamples)
    np.testing.assert_allclose(flat.graph(1).pos, PLACES[1])


def test_triangles_and_periods_are_those_of_the_file(tmp_path: Path) -> None:
    moved = np.stack([MESH.points, (MESH.points + 0.3) % 1])
    path = write(tmp_path / "a.nc", {"u": np.stack([flows(x, 1)[0] for x in moved]), "x": moved[:, None]})
    with h5py.File(path, "a") as file:
        file.attrs["period"], file["tri"] = (1.0, 1.0), MESH.cells_of("triangle")
    source = open_data(path)
    assert source.channels == ("rho", "vx", "vy", "p", "E")
    assert source.period == (1.0, 1.0)
    checked = {finding.check: finding.verdict for finding in validate(source)}
    assert (checked["axes"], checked["mass"], checked["momentum"]) == ("ok", "ok", "ok")


def test_coefficients_of_fixed_points(tmp_path: Path) -> None:
    path = write_flows_nc(tmp_path / "a.nc", flows(MESH.points))
    plain = open_data(path)
    assert isinstance(plain, RignoFile)
    assert plain.coefficients is None
    values = np.random.default_rng(0).normal(size=(2, 4, 300, 3)).astype(np.float32)
    with h5py.File(path, "a") as file:
        file["c"] = values
    source = RignoFile(path)
    assert source.coefficients is not None
    np.testing.assert_array_equal(source.coefficients.read(1, slice(1, 3)), values[1:, 1:3])
    with h5py.File(path, "a") as file:
        del file["c"]
        file["c"] = values[:, :3]
    with pytest.raises(ValueError, match=r"should hold c .*got \[2, 3, 300, 3\]"):
        RignoFile(path)


def test_damage_is_named_and_leaves_the_rest_readable(tmp_path: Path) -> None:
    path = moving(tmp_path / "a.nc", fletcher32=True)
    content = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        spots = [file[name].id.get_chunk_info(1).byte_offset for name in ("u", "x", "c")]
    for spot in spots:
        content[spot + 100] ^= 0x40
    path.write_bytes(content)
    source = open_data(path)
    assert isinstance(source, RignoSamples)
    assert source.coefficients is not None
    assert torch.isfinite(source.read(0)).all()
    assert source.graph(2).num_nodes == NODES
    with pytest.raises(ValueError, match=r"^sample 1 of .*a\.nc. cannot be read"):
        source.read()
    with pytest.raises(ValueError, match=r"points of sample 1 of .*a\.nc. cannot be read"):
        source.graph(1)
    with pytest.raises(ValueError, match=r"^c of sample 1 of .*a\.nc. cannot be read"):
        source.coefficients.read()
    u = np.stack([formula(PLACES, 0.0)] * 3, axis=1)
    other = write(tmp_path / "b.nc", {"u": u, "x": PLACES[:, None, 1:]})
    with pytest.raises(ValueError, match=r"should hold u .* and x .*got \[3, 3, 40, 2\] and \[3, 1, 39, 2\]"):
        open_data(other)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_two_workers_read_what_one_reads(tmp_path: Path) -> None:
    source = open_data(moving(tmp_path / "a.nc"))
    expected = source.read()
    loaded = list(DataLoader(Samples(source), num_workers=2, multiprocessing_context="fork"))
    torch.testing.assert_close(torch.cat(loaded), expected)


def test_one_sample_is_shown_and_goes_to_paraview(tmp_path: Path) -> None:
    path = moving(tmp_path / "a.nc")
    picture = ["data", "info", str(path), "--plot", str(tmp_path / "a.png"), "--sample", "2"]
    assert run(picture) == 0
    assert run(["data", "convert", str(path), str(tmp_path / "b.pvd"), "--sample", "2"]) == 0
    back = open_data(tmp_path / "b.pvd")
    np.testing.assert_allclose(back.graph().pos, PLACES[2])
    np.testing.assert_allclose(back.read(), open_data(path).read(2), rtol=1e-6)
    assert run(["data", "convert", str(path), str(tmp_path / "b.nc")]) == 2
