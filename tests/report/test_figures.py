"""Figures: the drawn triangles cover the box once, limits are shared, numbers are those of the evaluation."""

import sys
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import TriMesh
from rich.console import Console

from irno_graph.mesh import Mesh, MeshError, periodic_box
from irno_graph.report import comparison_tables, error_figure, rollout_figure, training_figure, write_figure
from irno_graph.report.figures import drawn_triangles, require_matplotlib

MESH = periodic_box(40, seed=1, extent=(1.0, 0.5))
TIMES = np.arange(8) * 0.1


def result(time_steps: int = 7) -> dict:
    groups = {
        group: {"base": [0.2] * time_steps, "refined": [0.05] * time_steps, "gain": [75.0] * time_steps}
        for group in ("velocity", "pressure", "density", "vorticity")
    }
    return {"groups": groups, "time_steps": time_steps, "samples": 3, "steps": 4, "ended": {"base": 0}}


def fields() -> dict[str, np.ndarray]:
    truth = np.sin(2 * np.pi * MESH.points[:, 0]) * np.linspace(1, 2, 8)[:, None]
    return {"truth": truth, "base": 0.5 * truth, "refined": 0.9 * truth}


def test_drawn_triangles_cover_the_periodic_box_exactly_once() -> None:
    points, triangles, source = drawn_triangles(MESH)
    corners = points[triangles]  # [triangles, 3, 2]
    assert np.abs(corners - np.roll(corners, 1, axis=1)).max() < 0.25  # none across the box
    np.testing.assert_allclose(np.mod(points - MESH.points[source] + 0.25, [1.0, 0.5]), 0.25)
    probes = np.random.default_rng(0).random((200, 1, 2)) * [1.0, 0.5]
    sides = np.roll(corners, -1, axis=1) - corners
    offset = probes[:, :, None] - corners  # [probes, triangles, 3, 2]
    inside = (sides[..., 0] * offset[..., 1] - sides[..., 1] * offset[..., 0] > 0).all(axis=-1)
    assert (inside.sum(axis=1) == 1).all()


def test_a_mesh_without_period_is_drawn_as_it_is() -> None:
    mesh = Mesh([[0, 0], [1, 0], [0, 1]], [("triangle", [[0, 1, 2]])])
    points, triangles, _ = drawn_triangles(mesh)
    np.testing.assert_array_equal(points[triangles[0]], mesh.points)
    assert len(triangles) == 1
    with pytest.raises(MeshError, match="triangles"):
        drawn_triangles(Mesh([[0, 0], [1, 0]], [("line", [[0, 1]])]))


def test_a_row_shares_symmetric_limits_and_an_error_scale() -> None:
    figure = rollout_figure(MESH, fields(), times=TIMES)
    meshes = [part for axis in figure.axes for part in axis.collections if isinstance(part, TriMesh)]
    limits = [part.get_clim() for part in meshes]
    assert len(limits) == 15
    for row in range(3):
        own = limits[5 * row : 5 * row + 5]
        assert len(set(own[:3])) == 1
        assert own[0][0] == -own[0][1] < 0
        assert own[3] == own[4]
        assert own[3][0] == 0.0 < own[3][1] < own[0][1]


def test_rows_that_are_not_there_are_left_out_and_ended_fields_are_said() -> None:
    ended = {name: values[:3].copy() for name, values in fields().items()}
    ended["base"][1:] = np.nan
    figure = rollout_figure(MESH, ended, times=TIMES[:3])
    assert [text.get_text() for axis in figure.axes for text in axis.texts] == ["ended", "ended"]
    with pytest.raises(ValueError, match="rows"):
        rollout_figure(MESH, fields(), times=TIMES, rows=(9,))


def test_error_figure_draws_the_numbers_and_the_gains() -> None:
    figure = error_figure(result())
    assert [axis.get_title() for axis in figure.axes] == ["velocity", "pressure", "density", "vorticity"]
    for axis in figure.axes:
        base, refined = axis.lines
        np.testing.assert_allclose(np.asarray(base.get_ydata()), 20.0)
        np.testing.assert_allclose(np.asarray(refined.get_ydata()), 5.0)
        assert [text.get_text() for text in axis.texts] == ["+75%"] * 7


def test_error_figure_leaves_a_gap_where_a_rollout_ended() -> None:
    part = result()
    part["groups"]["velocity"]["refined"][6] = part["groups"]["velocity"]["gain"][6] = None
    axis = error_figure(part).axes[0]
    assert np.isnan(np.asarray(axis.lines[1].get_ydata())[6])
    assert len(axis.texts) == 6


def test_training_figure_skips_the_rows_without_validation(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,loss,valid_one_step,valid_rollout\n1,2.0,,\n10,,0.5,0.75\n20,1.0,,\n30,,0.25,0.5\n")
    figure = training_figure({"corrector": path})
    for axis, values in zip(figure.axes, ([0.5, 0.25], [0.75, 0.5]), strict=True):
        np.testing.assert_array_equal(axis.lines[0].get_xdata(), [10, 30])
        np.testing.assert_array_equal(axis.lines[0].get_ydata(), values)
    path.write_text("step,loss\n1,2.0\n")
    with pytest.raises(ValueError, match="valid_one_step"):
        training_figure({"corrector": path})


def test_figures_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    figure = error_figure(result(1))
    path = write_figure(figure, tmp_path / "deep" / "errors.png", dots_per_inch=40)
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="nonsense"):
        write_figure(figure, tmp_path / "deep" / "errors.nonsense")
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["errors.png"]


def test_the_style_of_the_caller_is_left_alone() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    error_figure(result())
    assert dict(matplotlib.rcParams) == before


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for attempt in (require_matplotlib, lambda: error_figure(result())):
        with pytest.raises(ImportError, match=r"irno-graph\[viz\]"):
            attempt()


def test_tables_hold_every_number_within_80_columns() -> None:
    part = result(10)
    part["groups"]["velocity"]["base"][0], part["groups"]["velocity"]["gain"][1] = None, -1234.5
    part["groups"]["pressure"]["control"], part["groups"]["pressure"]["control_gain"] = (
        [0.1] * 10,
        [50.0] * 10,
    )
    part["ended"]["base"] = 2
    console = Console(width=80, record=True, file=StringIO())
    for table in comparison_tables(part):
        console.print(table)
    text = console.export_text()
    assert "…" not in text
    assert text.count("20.0") == 39
    assert text.count("+75.0") == 39
    assert text.count("+50.0") == 10
    assert "-1234" in text
    assert "ended" in text
    assert "2 of base" in text
