"""Files: what is written comes back, what is no mesh is refused, series open with the right picture."""

from pathlib import Path

import meshio
import numpy as np
import pytest

from irno_graph.mesh import Mesh, MeshError, MeshWarning, periodic_box, read_mesh, write_mesh, write_series


@pytest.fixture
def box():
    return periodic_box(64, seed=1)


def tetrahedron():
    points = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]]
    return Mesh(points, [("triangle", [[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])])


@pytest.mark.parametrize("suffix", [".vtu", ".vtk", ".xdmf", ".msh"])
def test_points_cells_data_and_period_come_back(suffix, box, tmp_path):
    values = np.random.default_rng(0).random(64)
    write_mesh(tmp_path / f"box{suffix}", box, {"u": values})
    back = read_mesh(tmp_path / f"box{suffix}")
    assert np.array_equal(back.points, box.points)
    assert np.array_equal(back.cells_of("triangle"), box.cells_of("triangle"))
    assert np.array_equal(back.point_data["u"], values)
    assert back.period == (1.0, 1.0)
    assert "irno_graph:period" not in back.point_data


def test_a_half_periodic_mesh_keeps_its_period(tmp_path):
    mesh = Mesh([[0, 0], [1, 0], [0, 1.0]], [("triangle", [[0, 1, 2]])], period=(None, 3.0))
    write_mesh(tmp_path / "a.vtu", mesh)
    assert read_mesh(tmp_path / "a.vtu").period == (None, 3.0)
    assert read_mesh(tmp_path / "a.vtu", period=(4.0, None)).period == (4.0, None)


@pytest.mark.parametrize("suffix", [".vtu", ".xdmf"])
def test_mixed_cells_and_cell_data_come_back(suffix, tmp_path):
    points = [[0, 0], [1, 0], [1, 1], [0, 1], [2, 0.5]]
    cells = [("quad", [[0, 1, 2, 3]]), ("triangle", [[1, 4, 2]])]
    mesh = Mesh(points, cells, cell_data={"id": [np.array([7]), np.array([8])]})
    write_mesh(tmp_path / f"a{suffix}", mesh)
    back = read_mesh(tmp_path / f"a{suffix}")
    assert [kind for kind, _ in back.cells] == ["quad", "triangle"]
    assert [block.tolist() for block in back.cell_data["id"]] == [[7], [8]]


@pytest.mark.parametrize("suffix", [".stl", ".obj", ".ply", ".off"])
def test_surface_formats_keep_the_surface(suffix, tmp_path):
    mesh = tetrahedron()
    write_mesh(tmp_path / f"a{suffix}", mesh)
    back = read_mesh(tmp_path / f"a{suffix}")
    assert back.dim == 3
    assert sorted(back.points.tolist()) == sorted(mesh.points.tolist())
    assert len(back.cells_of("triangle")) == 4


def test_a_physical_name_of_gmsh_is_a_tag(tmp_path):
    raw = meshio.Mesh(
        np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0.0]]),
        [("triangle", np.array([[0, 1, 2]]))],
        cell_data={"gmsh:physical": [np.array([5])], "gmsh:geometrical": [np.array([1])]},
        field_data={"fluid": np.array([5, 2])},
    )
    meshio.write(tmp_path / "a.msh", raw, file_format="gmsh22")
    back = read_mesh(tmp_path / "a.msh")
    assert back.tags["field_data"]["fluid"].tolist() == [5, 2]
    assert back.dim == 2


def test_points_of_volumes_keep_a_zero_third_coordinate(tmp_path):
    mesh = Mesh(np.zeros((4, 3)), [("tetra", [[0, 1, 2, 3]])])
    write_mesh(tmp_path / "a.vtu", mesh)
    assert read_mesh(tmp_path / "a.vtu", audited=False).dim == 3


@pytest.mark.parametrize("name", ["a.vtu", "a.msh", "a.xdmf", "a.stl", "a.nonsense", "a"])
def test_garbage_is_a_mesh_error(name, tmp_path, capfd):
    (tmp_path / name).write_text("this is no mesh\n" * 3)
    with pytest.raises(MeshError, match="should"):
        read_mesh(tmp_path / name)
    assert capfd.readouterr() == ("", "")


def test_a_missing_file_is_a_value_error_and_a_file_not_found_error(tmp_path):
    for kind in (ValueError, FileNotFoundError):
        with pytest.raises(kind, match="nothing"):
            read_mesh(tmp_path / "none.vtu")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(box, tmp_path):
    write_mesh(tmp_path / "a.vtu", box)
    before = (tmp_path / "a.vtu").read_bytes()
    with pytest.raises(MeshError, match="write"):
        write_mesh(tmp_path / "a.vtu", box, {"bad": np.full(64, None)})
    with pytest.raises(MeshError, match="write"):
        write_mesh(tmp_path / "a.nonsense", box)
    assert (tmp_path / "a.vtu").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.vtu"]


def test_xdmf_series_reads_back_with_an_unwrapped_seam(box, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    rng = np.random.default_rng(0)
    fields = {"density": rng.random((3, 64)), "velocity": rng.random((3, 64, 2))}
    write_series(tmp_path / "a.xdmf", box, [0.0, 0.5, 1.0], fields)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.h5", "a.xdmf", "elsewhere"]
    assert not list((tmp_path / "elsewhere").iterdir())
    with meshio.xdmf.TimeSeriesReader(tmp_path / "a.xdmf") as reader:
        points, cells = reader.read_points_cells()
        frames = [reader.read_data(step) for step in range(reader.num_steps)]
    assert [time for time, _, _ in frames] == [0.0, 0.5, 1.0]
    corners = points[cells[0].data]
    assert (corners.max(axis=1) - corners.min(axis=1)).max() < 0.5  # no cell across the box
    assert np.array_equal(frames[2][1]["density"][:64], fields["density"][2])
    assert np.array_equal(frames[1][1]["velocity"][:64, :2], fields["velocity"][1])
    assert not frames[1][1]["velocity"][:, 2].any()


def test_pvd_series_names_files_that_are_there(box, tmp_path):
    write_series(tmp_path / "a.pvd", box, [0.0, 0.25], {"u": np.arange(128.0).reshape(2, 64)}, unwrap=False)
    text = (tmp_path / "a.pvd").read_text()
    for step, time in enumerate(["0.0", "0.25"]):
        assert f'timestep="{time}" group="" part="0" file="a_{step:05d}.vtu"' in text
        raw = meshio.read(tmp_path / f"a_{step:05d}.vtu")
        assert np.array_equal(raw.point_data["u"], np.arange(64.0) + 64 * step)


def test_series_of_wrong_shape_or_suffix_are_refused(box, tmp_path):
    with pytest.raises(MeshError, match="times=2, points=64"):
        write_series(tmp_path / "a.xdmf", box, [0.0, 1.0], {"u": np.zeros((3, 64))})
    with pytest.raises(MeshError, match=r"\.xdmf or \.pvd"):
        write_series(tmp_path / "a.gif", box, [0.0], {"u": np.zeros((1, 64))})


COMPLETE = [".vtu", ".vtk", ".xdmf", ".msh"]


def tagged():
    points = np.random.default_rng(0).random((7, 2))
    cells = [("triangle", [[0, 1, 2], [1, 2, 3]]), ("triangle", [[2, 3, 4]]), ("quad", [[3, 4, 5, 6]])]
    point_data = {
        "flag": np.arange(7, dtype=np.int32),
        "on": np.arange(7) % 2 == 0,
        "two words": np.arange(7.0),
        "pair": np.random.default_rng(1).random((7, 2)),
        "small": np.arange(7, dtype=np.float32),
        "": np.arange(7.0),
    }
    cell_data = {"id": [np.array([4, 5]), np.array([6]), np.array([7])]}
    tags = {
        "cell_sets": {"left wall": [np.array([1]), np.array([], dtype=int), np.array([0])]},
        "point_sets": {"inlet": np.array([2, 4])},
        "field_data": {"fluid": np.array([5, 2]), "speed": np.array([0.25])},
    }
    return Mesh(points, cells, point_data, cell_data, tags, period=(None, 2.0))


@pytest.mark.parametrize("suffix", COMPLETE)
def test_the_complete_formats_lose_nothing(suffix, tmp_path):
    mesh = tagged()
    write_mesh(tmp_path / f"a{suffix}", mesh)
    back = read_mesh(tmp_path / f"a{suffix}", audited=False)
    assert back.period == mesh.period
    assert [(kind, block.tolist()) for kind, block in back.cells] == [
        (kind, block.tolist()) for kind, block in mesh.cells
    ]
    made = {"gmsh:physical", "gmsh:geometrical"}
    assert set(back.point_data) == set(mesh.point_data)
    assert set(back.cell_data) - made == set(mesh.cell_data)
    for name, values in mesh.point_data.items():
        assert np.array_equal(back.point_data[name], values)
        assert back.point_data[name].dtype == values.dtype
    assert [block.tolist() for block in back.cell_data["id"]] == [[4, 5], [6], [7]]
    assert [block.tolist() for block in back.tags["cell_sets"]["left wall"]] == [[1], [], [0]]
    assert back.tags["point_sets"]["inlet"].tolist() == [2, 4]
    assert {name: list(values) for name, values in back.tags["field_data"].items()} == {
        "fluid": [5, 2],
        "speed": [0.25],
    }


@pytest.mark.parametrize("suffix", COMPLETE)
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_the_number_of_coordinates_comes_back(suffix, dim, tmp_path):
    write_mesh(
        tmp_path / f"a{suffix}", Mesh(np.eye(4)[:, :dim] * [1, 1, 0][:dim], [("line", [[0, 1], [1, 3]])])
    )
    assert read_mesh(tmp_path / f"a{suffix}", audited=False).dim == dim


@pytest.mark.parametrize("suffix", COMPLETE)
def test_a_physical_name_of_gmsh_is_a_cell_set_in_every_complete_format(suffix, tmp_path):
    source = read_mesh(Path(__file__).parent / "files" / "periodic_gmsh41.msh")
    write_mesh(tmp_path / f"a{suffix}", source)
    back = read_mesh(tmp_path / f"a{suffix}")
    for mesh in (source, back):
        assert [len(block) for block in mesh.tags["cell_sets"]["walls"]] == [4, 4, 0]
    assert back.tags["field_data"]["fluid"].tolist() == [7, 2]
    for name, blocks in source.cell_data.items():
        assert all(np.array_equal(*pair) for pair in zip(blocks, back.cell_data[name], strict=True))


@pytest.mark.parametrize("suffix", [".xdmf", ".pvd"])
def test_series_hold_mixed_cells_and_cell_data_and_a_crash_leaves_nothing(suffix, tmp_path):
    points = [[0, 0], [1, 0], [1, 1], [0, 1], [2, 0.5]]
    cells = [("quad", [[0, 1, 2, 3]]), ("triangle", [[1, 4, 2]])]
    mesh = Mesh(points, cells, cell_data={"id": [np.array([7]), np.array([8])]})
    bad = np.full((1, 5), None)
    with pytest.raises(Exception, match=r".*"):
        write_series(tmp_path / f"a{suffix}", mesh, [0.0], {"u": bad})
    assert not list(tmp_path.iterdir())
    write_series(tmp_path / f"a{suffix}", mesh, [0.0], {"u": np.arange(5.0)[None]})
    if suffix == ".pvd":
        raw = meshio.read(tmp_path / "a_00000.vtu")
        assert [block.tolist() for block in raw.cell_data["id"]] == [[7], [8]]
        return
    with meshio.xdmf.TimeSeriesReader(tmp_path / "a.xdmf") as series:
        series.read_points_cells()
        _, _, data = series.read_data(0)
    assert np.concatenate(data["id"]).tolist() == [7, 8]


def test_what_makes_results_wrong_is_a_warning_that_can_be_left_out(tmp_path):
    mesh = Mesh([[0, 0], [1, 0], [0, 1], [5, 5.0]], [("triangle", [[0, 1, 2]])])
    write_mesh(tmp_path / "a.vtu", mesh)
    with pytest.warns(MeshWarning, match=r"1 points in no cell of the highest dimension \(first: 3\)"):
        found = read_mesh(tmp_path / "a.vtu")
    assert not found.audit().ok
    mended, done = found.repaired()
    assert mended.audit().ok
    assert len(done) == 1
    assert len(read_mesh(tmp_path / "a.vtu", audited=False).points) == 4
