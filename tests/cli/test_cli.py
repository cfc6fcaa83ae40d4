"""The command line: what it writes, and one line with exit code 2 for every kind of bad input."""

import json
from pathlib import Path

import h5py
import meshio
import numpy as np
import pytest
import torch

from irno_graph import IRNO, Scaling, read_mesh, save
from irno_graph.bases import RIGNO
from irno_graph.bases.rigno import Architecture
from irno_graph.cli import run
from irno_graph.correctors import MessagePassing
from irno_graph.data import TrajectoryFile
from irno_graph.mesh import periodic_box

MESH = periodic_box(48, seed=2)


def write_flows(path: Path, *, channels: int = 5, spoil: bool = False, nodes: int = 48) -> Path:
    x, y = 2 * np.pi * MESH.points.T
    start = np.stack(
        [0.1 + 0.01 * np.sin(x), np.sin(y), np.cos(x), 2.5 + 0.1 * np.cos(y), 6 + 0 * x], axis=-1
    )
    u = np.stack([start * (1 + 0.02 * n + 0.01 * k) for k in range(2) for n in range(8)]).reshape(2, 8, 48, 5)
    if spoil:
        u[1, 3, 7, 2] = np.nan
    with h5py.File(path, "w") as file:
        file["u"] = u[:, :, :nodes, :channels].astype(np.float32)
        file["x"], file["t"] = MESH.points[None, None], np.arange(8) * 0.1
        file["tri"] = MESH.cells_of("triangle").astype(np.int32)
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    torch.manual_seed(0)
    sizes = Architecture(processor_steps=1, node_hidden=8, edge_hidden=8, use_time=False)
    base = RIGNO(4, 4, architecture=sizes, lead_time=0.1)
    model = IRNO(base, MessagePassing(4, 4, hidden=8, layers=1), steps=2, scaling=Scaling.identity(4, 4))
    save(model, folder / "model.safetensors", about={"trajectory_base_seeds": [1, 2]})
    save(base, folder / "base.safetensors")
    write_flows(folder / "flows.nc")
    write_flows(folder / "three.nc", channels=3)
    write_flows(folder / "nan.nc", spoil=True)
    write_flows(folder / "fewer.nc", nodes=40)
    (folder / "damaged.nc").write_bytes((folder / "flows.nc").read_bytes()[:3000])
    (folder / "damaged.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:500])
    points = np.array([[0, 0], [1, 0], [0, 1], [5, 5]], dtype=float)
    meshio.Mesh(points, [("triangle", [[0, 1, 2]])]).write(folder / "orphan.vtu")
    meshio.Mesh(points[:3], [("triangle", [[0, 1, 2]])]).write(folder / "good.vtu")
    return folder


def test_evaluate_writes_the_figures_it_shows(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, data, out = place / "model.safetensors", place / "flows.nc", place / "result.json"
    base = place / "base.safetensors"
    assert run(["evaluate", str(model), str(data), "--out", str(out), "--control", str(base)]) == 0
    written = json.loads(out.read_text())
    for entry in written["groups"].values():
        assert entry["control"] == pytest.approx(entry["base"], rel=1e-6)  # the same base
        assert len(entry["gain"]) == 7
    shown = capsys.readouterr()
    assert "vorticity" in shown.out
    assert "result.json" in shown.out
    assert shown.err == ""


def test_evaluate_shows_flows_by_kind_and_band(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, data, out = place / "model.safetensors", place / "flows.nc", place / "flow.json"
    assert run(["evaluate", str(model), str(data), "--flow", "--out", str(out)]) == 0
    written = json.loads(out.read_text())
    flow = written["flow"]
    assert (flow["time_step"], len(flow["frequencies"])) == (7, 4)
    for name in ("base", "refined"):
        for group, error in flow["rollouts"][name]["relative"].items():
            assert error == pytest.approx(
                written["groups"][group][name][-1], rel=1e-6
            )  # the last of the curve
    assert sum(flow["share"]["velocity"]) == pytest.approx(1)
    assert "fluct." in capsys.readouterr().out
    assert run(["evaluate", str(model), str(data), "--flow", "--markdown"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("| -- |") == 1
    assert f"{100 * flow['rollouts']['base']['bands']['pressure'][3]:.3g} |" in shown


@pytest.mark.parametrize("name", ["out.nc", "out.xdmf"])
def test_rollout_writes_a_series(place: Path, name: str) -> None:
    out = place / name
    arguments = ["--out", str(out), "--time-steps", "3", "--trajectory", "1"]
    assert run(["rollout", str(place / "model.safetensors"), str(place / "flows.nc"), *arguments]) == 0
    if name == "out.nc":
        again = TrajectoryFile(out)
        assert again.shape == (1, 4, 48, 4)
        assert torch.equal(again[0][0], TrajectoryFile(place / "flows.nc")[1][0])
        return
    with meshio.xdmf.TimeSeriesReader(out) as reader:
        reader.read_points_cells()
        assert reader.num_steps == 4
        assert set(reader.read_data(3)[1]) == {"density", "velocity", "pressure", "vorticity"}


def test_demo_writes_all_its_files(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def generate(path: Path, **settings: object) -> Path:
        path.parent.mkdir(parents=True)
        assert settings["seed"] == settings.get("mesh_seed", settings["seed"]) == 77
        return write_flows(path)

    monkeypatch.setattr("irno_graph.experiments.demo.generate", generate)
    model = str(place / "model.safetensors")
    assert run(["demo", "--model", model, "--output", str(tmp_path / "out"), "--seed", "77"]) == 0
    names = {"data.nc", "errors.png", "mesh.vtu", "result.json", "rollout.h5", "rollout.png", "rollout.xdmf"}
    assert {file.name for file in (tmp_path / "out").iterdir()} == names
    assert len(json.loads((tmp_path / "out" / "result.json").read_text())["groups"]["velocity"]["gain"]) == 7
    again = read_mesh(tmp_path / "out" / "mesh.vtu")
    assert again.period == MESH.period
    np.testing.assert_array_equal(again.points, MESH.points)
    with meshio.xdmf.TimeSeriesReader(tmp_path / "out" / "rollout.xdmf") as reader:
        reader.read_points_cells()
        assert {f"{run} vorticity" for run in ("truth", "base", "refined")} <= set(reader.read_data(7)[1])
    shown = capsys.readouterr().out.replace("\n", "")
    assert all(name in shown for name in names - {"rollout.h5"})


def test_mesh_info_counts(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["mesh", "info", str(place / "good.vtu")]) == 0
    found = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.replace(", ", "_").splitlines())
    assert found["cells_triangle"] == "1"
    assert found["area"] == "0.5"
    assert found["points"] == "3 in 2 dimensions"


@pytest.mark.parametrize(
    "arguments", [[], ["--help"], ["demo", "--help"], ["data", "ce-gauss", "--help"], ["version"]]
)
def test_help_and_version_say_something(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 0
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) > 3
    assert shown.err == ""


BAD = {
    "missing data": (["evaluate", "{model}", "{at}/none.nc"], "none.nc"),
    "a name of two lines": (["evaluate", "{model}", "{at}/one\ntwo.nc"], "one two.nc"),
    "missing model": (["evaluate", "{at}/none.safetensors", "{flows}"], "none.safetensors"),
    "unknown shipped model": (["rollout", "none-such", "{flows}", "--out", "{at}/o.nc"], "none-such"),
    "too few channels": (["evaluate", "{model}", "{at}/three.nc"], "at least 4 variables, got 3"),
    "nodes that do not fit": (["evaluate", "{model}", "{at}/fewer.nc"], "fewer.nc"),
    "damaged data": (["evaluate", "{model}", "{at}/damaged.nc"], "damaged.nc"),
    "damaged model": (["evaluate", "{at}/damaged.safetensors", "{flows}"], "damaged.safetensors"),
    "data for a model": (["evaluate", "{flows}", "{flows}"], "flows.nc"),
    "model for data": (["evaluate", "{model}", "{model}"], "model.safetensors"),
    "a base alone": (["evaluate", "{at}/base.safetensors", "{flows}"], "IRNO"),
    "NaN in the data": (["evaluate", "{model}", "{at}/nan.nc"], "trajectory 1"),
    "no such trajectory": (
        ["rollout", "{model}", "{flows}", "--out", "{at}/o.nc", "--trajectory", "2"],
        "0..1",
    ),
    "negative steps": (["rollout", "{model}", "{flows}", "--out", "{at}/o.nc", "--steps", "-1"], "-1"),
    "unknown suffix": (["rollout", "{model}", "{flows}", "--out", "{at}/o.abc"], "o.abc"),
    "no CUDA device": (["evaluate", "{model}", "{flows}", "--device", "cuda:99"], "cuda:99"),
    "seen seed": (["demo", "--model", "{model}", "--seed", "2", "--output", "{at}/d"], "`seed`"),
    "orphan point": (["mesh", "info", "{at}/orphan.vtu"], "every point should belong to a cell"),
    "no mesh": (["mesh", "info", "{flows}"], "flows.nc"),
    "bad size": (["data", "ce-gauss", "--trajectories", "0", "--out", "{at}/o.nc"], "`trajectories`"),
    "bad kind": (
        ["data", "ce-gauss", "--trajectories", "1", "--out", "{at}/o.nc", "--points", "x"],
        "subsample",
    ),
    "unknown option": (["evaluate", "{model}", "{flows}", "--wrong"], "--wrong"),
    "unknown command": (["frobnicate"], "frobnicate"),
    "missing argument": (["evaluate", "{model}"], "Missing argument"),
    "missing command": (["data"], "command"),
    "missing config": (["train", "{at}/none.yaml"], "none.yaml"),
}


@pytest.mark.parametrize(("arguments", "said"), BAD.values(), ids=BAD.keys())
def test_bad_input_ends_with_code_2_and_one_line(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    before = set(place.iterdir())
    named = {"at": place, "model": place / "model.safetensors", "flows": place / "flows.nc"}
    assert run([part.format(**named) for part in arguments]) == 2
    shown = capsys.readouterr()
    (line,) = shown.err.splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert "Traceback" not in shown.out + shown.err
    assert set(place.iterdir()) == before


def test_certify_writes_the_verdict_of_every_sample(
    place: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out, model = tmp_path / "certificate.json", str(place / "model.safetensors")
    arguments = ["certify", model, str(place / "flows.nc"), "--samples", "2", "--iterations", "40"]
    assert run([*arguments, "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found["samples"] == len(found["q"]) == 2
    shown = capsys.readouterr().out
    for sample in range(2):
        assert found["verdict"][sample] in found["sentences"]
        assert f"{found['q'][sample]:.3g}" in shown
        if found["q"][sample] < 1:
            floor = found["alpha"] * found["bias"][sample] / (1 - found["q"][sample])
            assert found["floor"][sample] == pytest.approx(floor)
    assert run([*arguments, "--time-step", "7"]) == 2
    assert "should be in 0..6, got 7" in capsys.readouterr().err
