"""`irno-graph mesh`: the table, the picture, the repaired and the converted file, and when the exit code is 2."""

from pathlib import Path

import matplotlib.image
import meshio
import numpy as np
import pytest

from irno_graph.cli import run
from irno_graph.mesh import Mesh, MeshError, periodic_box, read_mesh, write_mesh
from irno_graph.mesh.audit import audit
from irno_graph.report.mesh_picture import mesh_figure

SAMPLES = Path(__file__).parents[2] / "meshes"


@pytest.fixture
def spoiled(tmp_path: Path) -> Path:
    points = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [5, 5, 0]], dtype=float)
    cells = [("triangle", np.array([[0, 1, 2], [0, 2, 3], [2, 0, 1]]))]
    meshio.Mesh(points, cells, cell_data={"material": [np.array([1.0, 2.0, 1.0])]}).write(
        tmp_path / "spoiled.vtu"
    )
    return tmp_path / "spoiled.vtu"


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    return dict(
        line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if len(line.split()) > 1
    )


def test_the_table_names_tags_quality_and_size(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["mesh", "info", str(SAMPLES / "cylinder_channel.msh")]) == 0
    text = capsys.readouterr().out
    for name in ("inlet", "outlet", "wall", "cylinder", "domain"):
        assert f"tag               {name}: " in text
    assert "quality           least 0." in text
    assert "0.9-1.0         ######" in text
    assert "area              0.894" in text
    assert "error" not in text


def test_a_faulty_mesh_is_shown_and_ends_with_code_2(
    spoiled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["mesh", "info", str(spoiled)]) == 2
    shown = capsys.readouterr()
    assert len(shown.err.splitlines()) == 1
    assert sum(line.startswith("error ") for line in shown.out.splitlines()) == 2
    assert "`mesh.repaired()` drops them" in shown.out
    assert "cell data         material" in shown.out


def test_the_repaired_file_is_sound(
    spoiled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mended.vtu"
    assert run(["mesh", "info", str(spoiled), "--repair", str(out)]) == 2  # the file read is as it was
    assert "dropped 1 cells that repeat an earlier one" in capsys.readouterr().out
    mended = read_mesh(out)
    assert audit(mended).findings == ()
    assert mended.cell_data["material"][0].tolist() == [1, 2]
    assert run(["mesh", "info", str(out), "--repair", str(tmp_path / "again.vtu")]) == 0
    assert said(capsys)["repair"] == "nothing to do"


def test_a_picture_is_written(tmp_path: Path) -> None:
    out = tmp_path / "box.png"
    assert run(["mesh", "info", str(SAMPLES / "periodic_box.vtu"), "--plot", str(out)]) == 0
    image = matplotlib.image.imread(out)
    assert min(image.shape[:2]) > 300
    assert len(np.unique(image[..., :3].reshape(-1, 3), axis=0)) > 50


@pytest.mark.parametrize(
    "name", ["plate_with_holes.msh", "ball.mesh", "torus.stl", "helix.vtu", "bar.xdmf", "mixed.vtk"]
)
def test_every_kind_of_mesh_is_drawn_whole(name: str) -> None:
    mesh = read_mesh(SAMPLES / name)
    axis = mesh_figure(mesh).axes[0]
    for number, limits in enumerate(["xlim", "ylim", "zlim"][: mesh.dim]):
        low, high = getattr(axis, f"get_{limits}")()
        assert low < mesh.points[:, number].min()
        assert high > mesh.points[:, number].max()
    assert len(axis.collections) >= 1


def test_a_legend_names_the_boundary() -> None:
    figure = mesh_figure(read_mesh(SAMPLES / "plate_with_holes.msh"))
    texts = {text.get_text() for legend in figure.legends for text in legend.get_texts()}
    assert texts == {"left", "right", "free", "hole"}


def test_lines_on_an_axis_are_drawn_and_points_alone_refused() -> None:
    assert mesh_figure(Mesh([[0.0], [1.0], [3.0]], [("line", [[0, 1], [1, 2]])])).axes
    with pytest.raises(MeshError, match="lines, triangles"):
        mesh_figure(Mesh([[0.0, 0.0]], [("vertex", [[0]])]))


def test_convert_keeps_the_mesh(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    box = periodic_box(64, seed=1)
    write_mesh(tmp_path / "a.vtu", box)
    assert run(["mesh", "convert", str(tmp_path / "a.vtu"), str(tmp_path / "a.vtk")]) == 0
    assert "a.vtk" in capsys.readouterr().out.replace("\n", "")
    back = read_mesh(tmp_path / "a.vtk")
    assert np.array_equal(back.points, box.points)
    assert back.period == box.period
    assert run(["mesh", "convert", str(tmp_path / "a.vtu"), str(tmp_path / "a.nonsense")]) == 2
    assert run(["mesh", "convert", str(tmp_path / "none.vtu"), str(tmp_path / "b.vtk")]) == 2


def test_convert_loses_something_only_when_told_to(tmp_path: Path) -> None:
    box = periodic_box(64, seed=1)
    write_mesh(tmp_path / "a.vtu", box)
    target = tmp_path / "a.off"
    assert run(["mesh", "convert", str(tmp_path / "a.vtu"), str(target)]) == 2
    assert not target.exists()
    assert run(["mesh", "convert", str(tmp_path / "a.vtu"), str(target), "--lossy"]) == 0
    back = read_mesh(target, audited=False)  # without its period it is drawn across the box
    assert back.period is None
    assert np.array_equal(back.cells_of("triangle"), box.cells_of("triangle"))
