"""Files of CE-Gauss with obstacles: what they hold, interruptions, finer solvers, meshes with tags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from domains import square_of_triangles

pytest.importorskip("numba")

from irno_graph.data.readers import MeshTrajectories, open_data
from irno_graph.data.unstructured import Domain, Flow, generate, generate_obstacles, open_geometries
from irno_graph.data.validation import validate
from irno_graph.mesh import Mesh

SHORT: dict[str, Any] = {"nodes": 100, "holes": 1, "save_every": 0.02, "final_time": 0.04}


def arrays(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return {name: file[name][()] for name in file}


def test_a_file_keeps_holes_and_says_how_it_was_made(tmp_path: Path) -> None:
    (path,) = generate_obstacles(tmp_path / "a.nc", trajectories=3, **SHORT)
    source = open_data(path)
    assert isinstance(source, MeshTrajectories)
    assert (len(source), source.channels, source.domain) == (3, ("rho", "vx", "vy", "p", "E"), "mesh")
    np.testing.assert_array_equal(source.times, [0.0, 0.02, 0.04])
    stored = arrays(path)
    (x, y, radius), sides = stored["holes"][0], 12
    polygon = 0.5 * sides * radius**2 * np.sin(2 * np.pi / sides)
    assert float(source.graph().mass.sum()) == pytest.approx(1 - polygon, rel=1e-12)
    on_box = ((stored["x"] == 0) | (stored["x"] == 1)).any(axis=-1)[0, 0]
    on_hole = np.abs(np.linalg.norm(stored["x"][0, 0] - [x, y], axis=1) - radius) < 1e-12
    np.testing.assert_array_equal(stored["wall"], on_box | on_hole)
    assert on_hole.sum() == sides
    rho, vx, vy, p, energy = source.read().double().unbind(-1)
    torch.testing.assert_close(energy, p / 0.4 + 0.5 * rho * (vx**2 + vy**2), rtol=1e-6, atol=0)
    with h5py.File(path) as file:
        about = dict(file.attrs)
    assert (about["narrowest"], about["fine"], about["walls"]) == (0.03, 0, "slip")
    assert "HLLC" in about["scheme"]
    assert {finding.verdict for finding in validate(source)} <= {"ok", "look"}


def test_an_interruption_changes_nothing_and_neither_do_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "BATCH", 1)
    options: dict[str, Any] = {**SHORT, "trajectories": 5, "geometries": 2}
    told: list[tuple[int, int]] = []
    whole = generate_obstacles(tmp_path / "a", threads=2, progress=lambda *pair: told.append(pair), **options)
    assert told[-1] == (5, 5)

    def stop(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_obstacles(tmp_path / "b", threads=1, progress=stop, **options)
    assert {entry.name for entry in (tmp_path / "b").iterdir()} == {
        "geometry_000.nc",
        "geometry_001.nc.parts",
    }
    before = (tmp_path / "b" / "geometry_000.nc").stat().st_mtime_ns
    again = generate_obstacles(tmp_path / "b", threads=1, **options)
    assert (tmp_path / "b" / "geometry_000.nc").stat().st_mtime_ns == before
    for one, other in zip(whole, again, strict=True):
        left, right = arrays(one), arrays(other)
        for name in left:
            np.testing.assert_array_equal(left[name], right[name])
    sources = open_geometries(tmp_path / "b")
    assert [len(source) for source in sources] == [3, 2]
    assert not np.array_equal(sources[0].points, sources[1].points)
    (changed, _) = generate_obstacles(tmp_path / "b", flow=Flow(cfl=1.0), **options)
    assert not np.array_equal(arrays(changed)["u"], arrays(whole[0])["u"])


def test_a_finer_solver_writes_the_same_nodes(tmp_path: Path) -> None:
    files = [
        generate_obstacles(
            tmp_path / f"{fine}.nc", trajectories=1, flow=Flow(narrowest=0.08, fine=fine), **SHORT
        )[0]
        for fine in (0, 1, 2)
    ]
    coarse, middle, fine = (arrays(path) for path in files)
    np.testing.assert_array_equal(coarse["x"], fine["x"])
    np.testing.assert_array_equal(coarse["tri"], fine["tri"])
    change = [np.linalg.norm((one["u"] - fine["u"])[..., 1:3]) for one in (coarse, middle)]
    assert 0.0 < change[1] < 0.5 * change[0]
    assert change[1] < 0.25 * np.linalg.norm(fine["u"][..., 1:3])


def test_a_mesh_with_a_tag_has_walls_there_and_is_open_elsewhere(tmp_path: Path) -> None:
    square = square_of_triangles(6)
    left = np.flatnonzero(square.points[:, 0] == 0)
    mesh = Mesh(square.points, square.cells, tags={"point_sets": {"wall": left}})
    options: dict[str, Any] = {"trajectories": 1, "save_every": 0.02, "final_time": 0.04}
    (closed,) = generate_obstacles(tmp_path / "a.nc", domain=Domain.of_mesh(mesh), **options)
    (opened,) = generate_obstacles(tmp_path / "b.nc", domain=Domain.of_mesh(mesh, walls=("wall",)), **options)
    one, other = arrays(closed), arrays(opened)
    assert (one["wall"].sum(), other["wall"].sum()) == (24, 7)
    np.testing.assert_array_equal(np.flatnonzero(other["wall"]), left)
    np.testing.assert_array_equal(one["x"][0, 0], square.points)
    np.testing.assert_array_equal(one["u"][:, 0], other["u"][:, 0])
    assert np.abs(one["u"][:, 1] - other["u"][:, 1]).max() > 1e-3
    assert "holes" not in one


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trajectories": 0}, "`trajectories` should be at least 1, got 0"),
        ({"geometries": 0}, "`geometries` should be at least 1, got 0"),
        ({"geometries": 3}, "`trajectories` should be at least 3, got 1"),
        ({"geometries": 2, "trajectories": 2}, "should be a folder for 2 geometries"),
        ({"threads": 0}, "`threads` should be at least 1"),
        ({"final_time": 0.05}, "multiple of `save_every`"),
        ({"seed": -1}, "`seed` should be in"),
        ({"nodes": 10}, "`nodes` should be at least 64"),
    ],
)
def test_bad_options_are_named_and_leave_no_file(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        generate_obstacles(tmp_path / "a.nc", **{**SHORT, "trajectories": 1, **options})
    assert not any(tmp_path.iterdir())


def test_other_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"`fine` should be in 0 ... 4, got 5"):
        Flow(fine=5)
    with pytest.raises(ValueError, match=r"should hold geometry_000\.nc and so on"):
        open_geometries(tmp_path)
    with pytest.raises(ValueError, match="should be a file to write, found a folder"):
        generate_obstacles(tmp_path, trajectories=1)
    domain = Domain.of_mesh(square_of_triangles(3))
    with pytest.raises(ValueError, match="`geometries` should be 1 for a domain that is given"):
        generate_obstacles(tmp_path / "a", trajectories=2, geometries=2, domain=domain)
