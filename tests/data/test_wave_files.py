"""Files of waves: layouts of all domains, the same values after an interruption, the command, bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from domains import cube_of_tetrahedra, disk, square_of_quads

from irno_graph.cli import run
from irno_graph.data import TrajectoryFile
from irno_graph.data.readers import MeshTrajectories, layout_of, open_data
from irno_graph.data.wave import Domain, Waves, generate
from irno_graph.mesh import Mesh, write_mesh

SHORT: dict[str, Any] = {"trajectories": 2, "save_every": 0.1, "final_time": 0.2}


def strip() -> Mesh:
    """Two rows of squares that go around along x: one axis is periodic, the other is not."""
    points = np.stack(np.meshgrid(np.arange(4) / 4, np.arange(3) / 2, indexing="ij"), axis=-1).reshape(-1, 2)
    number = np.arange(12).reshape(4, 3)
    east = np.roll(number, -1, axis=0)
    corners = [number[:, :-1], east[:, :-1], east[:, 1:], number[:, 1:]]
    quads = np.stack([corner.ravel() for corner in corners], axis=1)
    return Mesh(points, [("quad", quads)], period=(1.0, None))


DOMAINS = {
    "disk": lambda: Domain.of_mesh(disk(3)),
    "quads": lambda: Domain.of_mesh(square_of_quads(4), dirichlet=("boundary",)),
    "tetrahedra": lambda: Domain.of_mesh(cube_of_tetrahedra(2)),
    "strip": lambda: Domain.of_mesh(strip()),
    "icosphere": lambda: Domain.icosphere(1),
    "gauss": lambda: Domain.sphere(6, 9),
    "with poles": lambda: Domain.sphere(5, 8, grid="equiangular"),
}


@pytest.mark.parametrize("make", DOMAINS.values(), ids=DOMAINS.keys())
def test_every_domain_comes_back_from_its_file(tmp_path: Path, make: Any) -> None:
    domain = make()
    path = generate(tmp_path / "a.nc", domain=domain, **SHORT)
    assert layout_of(path) == "mesh"
    source = open_data(path)
    assert isinstance(source, MeshTrajectories)
    assert (len(source), source.channels, source.domain) == (2, ("u", "u_t"), domain.kind)
    np.testing.assert_array_equal(source.times, [0.0, 0.1, 0.2])
    graph = source.graph()
    for name in ("pos", "mass", "edge_index", "edge_attr", "cell_index"):
        assert torch.equal(getattr(graph, name), getattr(domain.graph, name)), name
    assert graph.period == domain.graph.period == source.period
    values = source.read()
    assert values.shape == (2, 3, len(graph.pos), 2)
    assert torch.equal(source.read(1, slice(1, 2)), values[1:, 1:2])
    assert float(values[:, 0, :, 1].abs().max()) == 0.0  # at rest
    assert float(values[:, 1, :, 1].abs().max()) > 0.1
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["fixed"][()], domain.fixed)
        assert len(file.attrs["period"]) == file["x"].shape[-1]


def test_a_box_is_a_file_of_rigno_whose_mean_stays(tmp_path: Path) -> None:
    path = generate(tmp_path / "a.nc", domain=Domain.box(64, seed=3), waves=Waves(medium=2), **SHORT)
    assert layout_of(path) == "rigno"
    assert open_data(path).channels == ("u", "u_t", "c")
    file = TrajectoryFile(path, channels=3)
    values = file.read().double()  # [2, 3, 64, 3]
    assert torch.equal(values[:, 0, :, 2], values[:, 2, :, 2])
    weight = file.graph().mass / values[:, 0, :, 2] ** 2  # [2, 64]: M / c^2 u_t has a sum that stays
    drift = (weight[:, None] * values[..., 1]).sum(dim=-1)
    torch.testing.assert_close(drift, torch.zeros_like(drift), rtol=0, atol=1e-6)


def test_an_interruption_changes_nothing(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "domain": Domain.icosphere(1),
        "trajectories": 5,
        "batch": 2,
        "final_time": 0.3,
    }
    whole = generate(tmp_path / "a.nc", **options)

    def stop(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "b.nc", progress=stop, **options)
    with pytest.raises(ValueError, match=r"b\.nc\.parts` holds trajectories of a call that differs in speed"):
        generate(tmp_path / "b.nc", waves=Waves(speed=1.01), **options)
    again = generate(tmp_path / "b.nc", **options)
    fewer = generate(tmp_path / "c.nc", **{**options, "trajectories": 3, "batch": 1})
    assert {entry.name for entry in tmp_path.iterdir()} == {"a.nc", "b.nc", "c.nc"}
    with h5py.File(whole) as one, h5py.File(again) as other, h5py.File(fewer) as third:
        for name in one:
            np.testing.assert_array_equal(one[name][()], other[name][()])
        np.testing.assert_array_equal(one["u"][:3], third["u"][()])


def test_the_command_solves_on_a_mesh_file_with_tags(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    square = square_of_quads(4)
    left = np.flatnonzero(square.points[:, 0] == 0)
    mesh = Mesh(square.points, square.cells, tags={"point_sets": {"wall": left}})
    write_mesh(tmp_path / "square.vtu", mesh)
    out = tmp_path / "a.nc"
    options = ["--mesh", str(tmp_path / "square.vtu"), "--dirichlet", "wall", "--final-time", "0.2"]
    assert run(["data", "wave", "--out", str(out), "--trajectories", "2", *options]) == 0
    source = open_data(out)
    np.testing.assert_array_equal(source.graph().pos.numpy(), square.points)
    assert float(source.read()[:, :, left].abs().max()) == 0.0
    assert "2 trajectories on 25 nodes" in capsys.readouterr().out
    assert run(["data", "info", str(out)]) == 0
    said = capsys.readouterr().out
    for words in ("Trajectories on a mesh", "u, u_t", "domain is mesh, cells are quad"):
        assert words in said


@pytest.mark.parametrize(
    ("options", "nodes"), [(["--nodes", "36"], 36), (["--icosphere", "1"], 42), (["--sphere", "4x6"], 24)]
)
def test_the_command_makes_boxes_and_spheres(tmp_path: Path, options: list[str], nodes: int) -> None:
    out = tmp_path / "a.nc"
    assert (
        run(["data", "wave", "--out", str(out), "--trajectories", "1", "--final-time", "0.1", *options]) == 0
    )
    assert open_data(out).read().shape == (1, 2, nodes, 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--trajectories", "0"], "`trajectories` should be at least 1, got 0"),
        (["--speed", "-1"], "`speed` should be positive, got -1"),
        (["--time-step", "0.3"], "below the stability limit"),
        (["--nodes", "64", "--icosphere", "2"], "only one of --mesh, --nodes, --icosphere and --sphere"),
        (["--dirichlet", "wall"], "--dirichlet should come with --mesh"),
        (["--sphere", "8"], "--sphere should be latitudes x longitudes as in 32x64, got '8'"),
        (["--mesh", "none.vtu"], "none.vtu"),
        (["--icosphere", "-1"], "`cuts` should be at least 0"),
        (["--final-time", "0.15"], "multiple of `save_every`"),
        (["--seed", "-1"], "seed` should be in"),
    ],
)
def test_bad_options_are_named_and_leave_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    start = ["data", "wave", "--out", str(tmp_path / "a.nc")]
    assert run([*start, "--trajectories", "1", *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not any(tmp_path.iterdir())


def broken(path: Path, name: str, change: str) -> Path:
    with h5py.File(path, "r+") as file:
        if change == "drop":
            del file[name]
        elif change == "nan":
            file[name][1, 2, 3] = np.nan
        elif name in file.attrs:
            file.attrs[name] = change
    return path


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("t", "drop", "should hold the array /t"),
        ("u", "drop", "should hold the array /u"),
        ("domain", "torus", "one of mesh, icosphere, sphere, got 'torus'"),
        ("channels", "u", r"channels=1\] and x"),
        ("period", "1", "should have 3 lengths, 0 where there is none|should be a sound"),
    ],
)
def test_what_is_wrong_with_a_file_of_meshes_is_named(
    tmp_path: Path, name: str, change: str, message: str
) -> None:
    path = broken(generate(tmp_path / "a.nc", domain=Domain.icosphere(1), **SHORT), name, change)
    with pytest.raises(ValueError, match=message):
        MeshTrajectories(path)


def test_wrong_spheres_and_values_are_named(tmp_path: Path) -> None:
    path = generate(tmp_path / "a.nc", domain=Domain.icosphere(1), **SHORT)
    source = MeshTrajectories(broken(path, "u", "nan"))
    with pytest.raises(ValueError, match=r"trajectory 1 of .*a.nc. has values that are NaN"):
        source.read()
    assert torch.isfinite(source.read(0)).all()
    with pytest.raises(IndexError, match="has 2 samples, got index 2"):
        source.read(2)
    with h5py.File(path, "r+") as file:
        file.attrs["icosphere"] = 2
    with pytest.raises(ValueError, match="should have the nodes of its icosphere"):
        MeshTrajectories(path).graph()
    with h5py.File(path, "r+") as file:
        del file.attrs["icosphere"]
    with pytest.raises(ValueError, match="should say how its icosphere is made"):
        MeshTrajectories(path).graph()
