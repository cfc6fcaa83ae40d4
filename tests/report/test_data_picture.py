"""Pictures of data: every value at its own place, for grids, meshes, lines and spheres."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
import torch
from flow_sources import MESH, MemorySource, flows, write_flows_nc

from irno_graph.cli import run
from irno_graph.graph import Graph
from irno_graph.report.data_picture import data_figure


class Drawn(MemorySource):
    """Fields that are a formula of the position, on any graph."""

    def __init__(self, graph: Graph, formula: Any, times: int = 3) -> None:
        values = formula(graph.pos).numpy()
        super().__init__(np.stack([values + k for k in range(times)])[None, ..., None], channels=("f",))
        self._graph = graph
        self.period = graph.period

    def graph(self) -> Graph:
        return self._graph


def plane(pos: torch.Tensor) -> torch.Tensor:
    return pos[:, 0] + 10 * pos[:, 1]


@pytest.mark.parametrize("periodic", [True, False])
def test_a_grid_is_drawn_where_its_points_lie(periodic: bool) -> None:
    graph = Graph.from_grid(
        (5, 7), extent=None if periodic else (1.4, 1.0), period=(1.4, 1.0) if periodic else None
    )
    figure = data_figure(Drawn(graph, plane))
    assert [axis.get_title() for axis in figure.axes[:3]] == ["t = 0", "t = 0.1", "t = 0.2"]
    for number, axis in enumerate(figure.axes[:3]):
        (image,) = axis.collections
        corners = image.get_coordinates()  # type: ignore[attr-defined]
        x, y = (corners[:-1, :-1] + corners[1:, 1:]).transpose(2, 0, 1) / 2  # centres of what is drawn
        values = np.asarray(image.get_array()).ravel()
        np.testing.assert_allclose(values, (x + 10 * y + number).ravel(), atol=1e-5)
        assert image.get_clim() == figure.axes[0].collections[0].get_clim()


def test_triangles_of_a_periodic_mesh_cover_the_box_with_the_values_of_their_nodes() -> None:
    source = MemorySource(flows(MESH.points))
    figure = data_figure(source, sample=1, times=[2])
    for axis, channel in zip(figure.axes[:5], source.channels, strict=True):
        (drawn,) = axis.collections
        place: Any = drawn
        corners = place._triangulation
        where = np.stack([corners.x, corners.y], axis=1)
        apart = (where[:, None] - MESH.points[None]) % 1
        nearest = np.minimum(apart, 1 - apart).sum(axis=-1).argmin(axis=1)
        expected = source.fields[1, 2, nearest, source.channels.index(channel)]
        np.testing.assert_allclose(place.get_array(), expected)
        sides = where[corners.triangles]
        areas = _areas(sides)
        assert areas.min() > 0
        assert areas[(sides.min(axis=1) >= 0).all(axis=1) & (sides.max(axis=1) <= 1).all(axis=1)].sum() > 0.8
        assert (axis.get_xlim(), axis.get_ylim()) == ((0, 1), (0, 1))


def _areas(sides: np.ndarray) -> np.ndarray:
    (ax, ay), (bx, by) = (sides[:, k].T - sides[:, 0].T for k in (1, 2))
    return np.asarray((ax * by - ay * bx) / 2)


@pytest.mark.parametrize("kind", ["equiangular", "legendre-gauss"])
def test_a_sphere_is_drawn_by_longitude_and_latitude(kind: Any) -> None:
    source = Drawn(Graph.from_sphere(7, 12, grid=kind), lambda pos: pos[:, 2] + 0.1 * pos[:, 0], times=1)
    (image,) = data_figure(source).axes[0].collections
    corners = image.get_coordinates()  # type: ignore[attr-defined]
    east, north = np.radians((corners[1:-2, :-1] + corners[2:-1, 1:]).transpose(2, 0, 1) / 2)
    values = np.asarray(image.get_array()).reshape(7, 12)[1:-1]
    np.testing.assert_allclose(values, np.sin(north) + 0.1 * np.cos(north) * np.cos(east), atol=0.03)


def test_lines_are_curves_and_volumes_are_points_or_planes() -> None:
    line = data_figure(Drawn(Graph.from_grid((9,), extent=(2.0,)), lambda pos: pos[:, 0] ** 2))
    x, y = line.axes[1].lines[0].get_data()
    np.testing.assert_allclose(np.asarray(y), np.asarray(x) ** 2 + 1, atol=1e-6)
    box = Graph.from_grid((4, 3, 5), extent=(4.0, 2.0, 3.0))
    (image,) = data_figure(Drawn(box, lambda pos: pos[:, 2])).axes[0].collections
    np.testing.assert_allclose(np.asarray(image.get_array()), 2.0)
    ball = data_figure(Drawn(Graph.from_icosphere(1), lambda pos: pos[:, 2], times=1))
    assert ball.axes[0].name == "3d"


def test_colours_reach_over_all_times_and_are_even_about_zero() -> None:
    graph = Graph.from_grid((5, 7), extent=(1.4, 1.0))

    def limits(shift: float) -> tuple[float, float]:
        """Of x + 10 y + shift, then one more, then two; x + 10 y is in 0..11.4."""
        figure = data_figure(Drawn(graph, lambda pos: plane(pos) + shift))
        return figure.axes[0].collections[0].get_clim()

    assert limits(0.0) == pytest.approx((0, 13.4), abs=1e-5)
    assert limits(1.0) == pytest.approx((1, 14.4), abs=1e-5)
    assert limits(-3.0) == pytest.approx((-10.4, 10.4), abs=1e-5)
    assert limits(-30.0) == pytest.approx((-30, -16.6), abs=1e-5)


def test_of_many_channels_and_times_a_few_are_drawn() -> None:
    fields = np.random.default_rng(0).normal(size=(1, 7, 300, 11))
    source = MemorySource(fields, channels=tuple(f"c{k}" for k in range(11)))
    figure = data_figure(source)
    drawn = [axis for axis in figure.axes if axis.get_label() != "<colorbar>"]
    assert [axis.get_title() for axis in drawn[:3]] == ["t = 0", "t = 0.3", "t = 0.6"]
    assert len(drawn) == 8 * 3


def test_each_sample_is_drawn_on_its_own_graph() -> None:
    class Moving(MemorySource):
        moving = True

        def graph(self, index: int = 0) -> Graph:
            return Graph.from_grid((4, 6), extent=(1.0 + index, 1.0))

    source = Moving(np.zeros((3, 1, 24, 1)), channels=("f",))
    (image,) = data_figure(source, sample=2).axes[0].collections
    east = image.get_coordinates()[..., 0]  # type: ignore[attr-defined]
    assert np.mean([east.min(), east.max()]) == pytest.approx(1.5)


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(IndexError, match=r"within 0\.\.3, got \[4\]"):
        data_figure(MemorySource(flows(MESH.points)), times=[0, 4])


def test_the_command_writes_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = write_flows_nc(tmp_path / "a.nc", flows(MESH.points)), tmp_path / "a.png"
    assert run(["data", "info", str(path), "--samples", "0", "--plot", str(out), "--sample", "1"]) == 0
    image = matplotlib.image.imread(out)
    assert min(image.shape[:2]) > 300
    assert len(np.unique(image[..., :3].reshape(-1, 3), axis=0)) > 200
    assert run(["data", "info", str(path), "--samples", "0", "--plot", str(out), "--sample", "2"]) == 2
    assert "within 0..1, got 2" in capsys.readouterr().err
