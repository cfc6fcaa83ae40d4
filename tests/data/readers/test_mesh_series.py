"""Snapshots on meshes: fields given by formulas come back at their nodes and times, from every kind of series."""

from __future__ import annotations

import json
import pickle
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import meshio
import netCDF4
import numpy as np
import pytest
import torch
from flow_sources import Samples
from torch.utils.data import DataLoader

from irno_graph.cli import run
from irno_graph.data.readers import MeshSeries, layout_of, open_data
from irno_graph.data.writers import write_rigno
from irno_graph.graph import mass_mean
from irno_graph.mesh import Mesh, MeshError, read_mesh, write_series
from irno_graph.mesh.series_steps import series_steps

GENERATOR = np.random.default_rng(0)
INNER = GENERATOR.uniform(0.05, 0.95, (30, 2)) * [2, 1]
RIM = np.array([[x, y] for x in np.linspace(0, 2, 6) for y in (0.0, 1.0)])
POINTS = np.concatenate([RIM, INNER])
CHANNEL = Path(__file__).parents[4] / "shared" / "reference" / "ezyrb_channel"


def mesh() -> Mesh:
    from scipy.spatial import Delaunay

    found = Delaunay(POINTS)
    corners = POINTS[found.simplices]
    (ax, ay), (bx, by) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    return Mesh(POINTS, [("triangle", found.simplices[np.abs(ax * by - ay * bx) > 1e-9])])


MESH = mesh()
FLAT = np.pad(MESH.points, ((0, 0), (0, 1)))
TRIANGLES = MESH.cells_of("triangle")


def fields(time: float) -> dict[str, np.ndarray]:
    x, y = MESH.points.T
    return {"p": x + 10 * y + 100 * time, "v": np.stack([x * time, y - time, 0 * x], axis=1)}


def expected(times: Any) -> np.ndarray:
    rows = [np.column_stack([fields(t)["p"], fields(t)["v"][:, :2]]) for t in times]
    return np.stack(rows).astype(np.float32)


def folder_of(suffix: str) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        """Numbers without leading zeros: 2 comes before 10."""
        for number in (0, 2, 10):
            raw = meshio.Mesh(FLAT, [("triangle", TRIANGLES)], point_data=fields(number))
            raw.write(path / f"snap_{number}{suffix}")
        return path

    return write


def xdmf(path: Path) -> Path:
    with meshio.xdmf.TimeSeriesWriter(path / "a.xdmf", data_format="XML") as writer:
        writer.write_points_cells(FLAT, [("triangle", TRIANGLES)])
        for time in (0, 2, 10):
            writer.write_data(time, point_data=fields(time))
    return path / "a.xdmf"


def own(name: str) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        rows = {key: np.stack([fields(time)[key] for time in (0, 2, 10)]) for key in ("p", "v")}
        write_series(path / name, MESH, [0, 2, 10], rows)
        return path / name

    return write


def paraview_series(suffix: str) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        """Names in another order than the times."""
        (path / "steps").mkdir()
        files = []
        for name, time in (("b_1", 0), ("b_0", 2), ("a_9", 10)):
            raw = meshio.Mesh(FLAT, [("triangle", TRIANGLES)], point_data=fields(time))
            raw.write(path / "steps" / f"{name}{suffix}")
            files.append({"name": f"steps/{name}{suffix}", "time": time})
        content = {"file-series-version": "1.0", "files": files}
        (path / f"run{suffix}.series").write_text(json.dumps(content))
        return path / f"run{suffix}.series"

    return write


def arrays(path: Path) -> Path:
    np.save(path / "pts.npy", FLAT)
    np.save(path / "cells.npy", TRIANGLES.astype(np.int32))
    np.save(path / "time.npy", np.array([[0], [2], [10]]))
    for key in ("p", "v"):
        np.save(path / f"snapshots_{key}.npy", np.stack([fields(time)[key] for time in (0, 2, 10)]))
    return path


WRITERS = {
    "vtk": folder_of(".vtk"), "vtu": folder_of(".vtu"), "xdmf": xdmf, "own xdmf": own("b.xdmf"),
    "own pvd": own("c.pvd"), "arrays": arrays, "vtk.series": paraview_series(".vtk"),
    "vtu.series": paraview_series(".vtu"),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(WRITERS))
def test_fields_come_back_at_their_nodes_and_times(tmp_path: Path, kind: str) -> None:
    path = WRITERS[kind](tmp_path)
    assert layout_of(path) == "series"
    source = open_data(path)
    assert (len(source), source.period, source.times.tolist()) == (1, None, [0, 2, 10])
    assert source.channels == ("p", "v_x", "v_y")
    np.testing.assert_array_equal(source.read()[0], expected((0, 2, 10)))
    np.testing.assert_array_equal(source.read(0, slice(1, 3))[0], expected((2, 10)))
    np.testing.assert_allclose(source.graph().pos, POINTS)
    cases = MeshSeries(path, as_="samples", fields=["p"])
    assert isinstance(cases, MeshSeries)
    assert (len(cases), cases.times.tolist(), cases.parameters.tolist()) == (3, [0], [0, 2, 10])
    np.testing.assert_array_equal(cases.read(-1)[0, 0], expected([10])[0, :, :1])
    np.testing.assert_array_equal(cases.read(slice(0, 3, 2))[:, 0], expected([0, 10])[..., :1])
    again = pickle.loads(pickle.dumps(cases))  # as processes that are spawned get it
    assert torch.equal(again.read(1), cases.read(1))


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_two_workers_read_what_one_reads(tmp_path: Path) -> None:
    source = MeshSeries(folder_of(".vtk")(tmp_path), as_="samples")
    loaded = list(DataLoader(Samples(source), num_workers=2, multiprocessing_context="fork"))
    np.testing.assert_array_equal(torch.cat(loaded)[:, 0], expected((0, 2, 10)))


def test_fields_on_cells_are_left_out_refused_or_averaged_with_their_integral(tmp_path: Path) -> None:
    values = GENERATOR.normal(size=len(TRIANGLES))
    one = np.ones(len(TRIANGLES))
    raw = meshio.Mesh(
        FLAT, [("triangle", TRIANGLES)], point_data=fields(0), cell_data={"q": [values], "one": [one]}
    )
    raw.write(tmp_path / "a.vtu")
    left = MeshSeries(tmp_path / "a.vtu")
    assert left.channels == ("p", "v_x", "v_y")
    assert "left out, on cells: one, q" in left.decisions
    with pytest.raises(ValueError, match=r"field q on cells: pass `average_cells=True`"):
        MeshSeries(tmp_path / "a.vtu", fields=["q"])
    source = MeshSeries(tmp_path / "a.vtu", fields=["q", "one"], average_cells=True)
    found, graph = source.read()[0, 0].double(), source.graph()
    (ax, ay), (bx, by) = ((POINTS[TRIANGLES[:, k]] - POINTS[TRIANGLES[:, 0]]).T for k in (1, 2))
    areas = np.abs(ax * by - ay * bx) / 2
    assert float(mass_mean(found, graph)[0]) == pytest.approx(areas @ values / areas.sum(), abs=1e-6)
    torch.testing.assert_close(found[:, 1], torch.ones(len(found), dtype=torch.float64))


def test_a_bad_snapshot_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    path = folder_of(".vtk")(tmp_path)
    source = MeshSeries(path)
    (path / "snap_2.vtk").write_bytes((path / "snap_2.vtk").read_bytes()[:700])
    with pytest.raises(ValueError, match=r"snap_2\.vtk"):
        source.read()
    np.testing.assert_array_equal(source.read(0, slice(2, 3))[0], expected([10]))
    for spoiled, said in (
        (
            meshio.Mesh(FLAT + 1, [("triangle", TRIANGLES)], point_data=fields(2)),
            "points and cells of the first",
        ),
        (
            meshio.Mesh(FLAT, [("triangle", TRIANGLES)], point_data={"p": fields(2)["p"]}),
            "should have the field v",
        ),
        (meshio.Mesh(FLAT, [("triangle", TRIANGLES)], point_data=fields(np.nan)), "NaN or infinite"),
    ):
        spoiled.write(path / "snap_2.vtk")
        with pytest.raises(ValueError, match=rf"snapshot 1, `.*snap_2\.vtk`, .*{said}"):
            source.read()


def test_what_is_no_series_is_refused(tmp_path: Path) -> None:
    folder_of(".vtk")(tmp_path)
    meshio.Mesh(FLAT, [("triangle", TRIANGLES)]).write(tmp_path / "a.vtu")
    with pytest.raises(ValueError, match=r"files of one format, got \.vtk, \.vtu"):
        MeshSeries(tmp_path)
    with pytest.raises(ValueError, match="should have fields on its points"):
        MeshSeries(tmp_path / "a.vtu")
    with pytest.raises(ValueError, match=r"among p, v of .*, got 'q'"):
        MeshSeries(tmp_path / "snap_0.vtk", fields=["q"])
    path = xdmf(tmp_path)
    (tmp_path / "b.xdmf").write_text(path.read_text()[:-40])
    with pytest.raises(MeshError, match=r"b\.xdmf.* sound PVD or XDMF file"):
        series_steps(tmp_path / "b.xdmf")
    tree = ET.parse(path)
    for grid in tree.getroot().iter("Grid"):
        for time in grid.findall("Time"):
            grid.remove(time)
    tree.write(path)
    with pytest.raises(MeshError, match="snapshot 0 has no time"):
        series_steps(path)
    arrays(tmp_path)
    np.save(tmp_path / "snapshots_p.npy", np.zeros((3, 5)))
    with pytest.raises(ValueError, match=r"snapshots_NAME.npy \[times, points=42\]"):
        MeshSeries(tmp_path)


ONE = '{"name": "a.vtk", "time": 1}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", r"sound file series of ParaView \(JSON\), got: .*line 1"),
        ("[" * 100_000, r"sound file series of ParaView \(JSON\)"),
        ("\x80", r"sound file series of ParaView \(JSON\)"),
        ("[]", "no list `files`"),
        ('{"files": {}}', "no list `files`"),
        ('{"files": []}', "at least one snapshot, got none"),
        (f'{{"files": [{ONE}, 3]}}', "snapshot 1 should have a name and a time, it is 3"),
        ('{"files": [{"name": "a.vtk"}]}', "snapshot 0 should have a name and a time"),
        ('{"files": [{"time": 0}]}', "snapshot 0 should have a name and a time"),
        ('{"files": [{"name": "a.vtk", "time": "0"}]}', "snapshot 0 should have a name and a time"),
        ('{"files": [{"name": "a.vtk", "time": true}]}', "snapshot 0 should have a name and a time"),
        (f'{{"files": [{ONE}, {{"name": "a.vtk", "time": NaN}}]}}', "snapshot 1 has the time nan"),
        (f'{{"files": [{ONE}, {{"name": "b.vtk", "time": 2}}]}}', r"got none at b\.vtk: put them beside it"),
    ],
)
def test_what_is_wrong_with_a_file_series_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.vtk").touch()
    path = tmp_path / "a.vtk.series"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(MeshError, match=rf"a\.vtk\.series.*{said}"):
        open_data(path)


def test_files_that_a_pvd_names_and_that_are_missing_are_counted(tmp_path: Path) -> None:
    path = own("c.pvd")(tmp_path)
    (tmp_path / "c_00001.vtu").unlink()
    with pytest.raises(
        MeshError, match=r"c\.pvd. should name files that are there, got none at c_00001\.vtu:"
    ):
        open_data(path)
    line = '<DataSet timestep="{0}" file="x_{0}.vtu"/>'
    rows = "".join(line.format(number) for number in range(7))
    path.write_text(f"<VTKFile><Collection>{rows}</Collection></VTKFile>")
    with pytest.raises(MeshError, match=r"x_3\.vtu and 3 more"):
        open_data(path)


def test_the_command_converts_a_file_series(tmp_path: Path) -> None:
    path = paraview_series(".vtk")(tmp_path)
    assert run(["data", "convert", str(path), str(tmp_path / "a.nc")]) == 0
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        assert file["t"][:].tolist() == [0, 2, 10]
        np.testing.assert_allclose(file["u"][0], expected((0, 2, 10)))


def test_the_command_writes_rignos_layout_and_a_series_for_paraview(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = folder_of(".vtu")(tmp_path / "in")
    out = tmp_path / "a.nc"
    assert run(["data", "convert", str(path), str(out), "--fields", "p", "--time-step", "0.5"]) == 0
    with netCDF4.Dataset(out) as file:
        np.testing.assert_array_equal(file["u"][0], expected((0, 2, 10))[..., :1])
        np.testing.assert_allclose(file["x"][0, 0], POINTS)
        np.testing.assert_array_equal(file["tri"][:], TRIANGLES)
        np.testing.assert_allclose(file["t"][:], [0, 1, 5])
        assert np.ravel(file.period).tolist() == [0, 0]
    assert run(["data", "convert", str(path), str(tmp_path / "b.nc"), "--as", "samples"]) == 0
    with netCDF4.Dataset(tmp_path / "b.nc") as file:
        np.testing.assert_array_equal(file["u"][:, 0], expected((0, 2, 10)))
    view = tmp_path / "c.xdmf"
    assert run(["data", "convert", str(path), str(view), "--as", "samples", "--sample", "2"]) == 0
    with meshio.xdmf.TimeSeriesReader(view) as reader:
        points, _ = reader.read_points_cells()
        time, data, _ = reader.read_data(0)
    np.testing.assert_allclose(points[:, :2], POINTS)
    assert time == 0
    np.testing.assert_array_equal(data["p"], expected([10])[0, :, 0])
    assert run(["data", "convert", str(path), str(view), "--sample", "1"]) == 2
    assert run(["data", "convert", str(path), str(tmp_path / "c.vtu")]) == 2
    assert run(["data", "convert", str(view), str(tmp_path / "d.nc"), "--axes", "xy"]) == 2


def test_trajectories_are_written_one_by_one_whole_or_not_at_all(tmp_path: Path) -> None:
    made = np.asarray(GENERATOR.normal(size=(3, 2, 42, 2)), dtype=np.float32)
    path = write_rigno(tmp_path / "a.nc", iter(made), POINTS, TRIANGLES, [0, 1], ["a", "b"])
    with netCDF4.Dataset(path) as file:
        np.testing.assert_array_equal(file["u"][:], made)
    for wrong, said in (
        (made[:, :1], r"trajectory 0 should have shape .* = \[2, 42, 2\], got \[1, 42, 2\]"),
        (np.where(np.arange(3)[:, None, None, None] == 2, np.nan, made), "trajectory 2 should be finite"),
        (made[:0], "at least one trajectory"),
    ):
        with pytest.raises(ValueError, match=said):
            write_rigno(tmp_path / "b.nc", wrong, POINTS, TRIANGLES, [0, 1], ["a", "b"])
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.nc"]


@pytest.mark.skipif(not CHANNEL.is_dir(), reason="needs the channel flow that EZyRB comes with")
def test_the_channel_flow_of_ezyrb() -> None:
    source = MeshSeries(CHANNEL)
    assert source.channels == ("pressure", "vx", "vy")
    for name, place in (("pressure", 0), ("vy", 2)):
        stored = np.load(CHANNEL / f"snapshots_{name}.npy")[[3, 40]]
        np.testing.assert_allclose(source.read(0, slice(3, 41, 37))[0, ..., place], stored, rtol=1e-6)
    assert float(source.graph().mass.sum()) == pytest.approx(
        5.0, rel=0.05
    )  # a channel of 5 by 1, with something in it


def test_a_snapshot_of_a_series_is_a_mesh(tmp_path: Path) -> None:
    found = read_mesh(xdmf(tmp_path), step=1)
    np.testing.assert_array_equal(found.point_data["p"], fields(2)["p"])
    np.testing.assert_array_equal(found.cells_of("triangle"), TRIANGLES)
