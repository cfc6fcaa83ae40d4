"""Files: what is written comes back, what is no mesh is refused, series open with the right picture."""

import meshio
import numpy as np
import pytest

from irno_graph.mesh import Mesh, MeshError, periodic_box, read_mesh, write_mesh, write_series


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
    assert read_mesh(tmp_path / "a.vtu").dim == 3


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
