"""`irno-graph rollout`: what it says, and what a kill leaves of it."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from irno_graph import IRNO, Graph, Scaling, load, rollout, save
from irno_graph.bases import RIGNO
from irno_graph.bases.rigno import Architecture
from irno_graph.cli import run
from irno_graph.correctors import MessagePassing
from irno_graph.data import TrajectoryFile
from irno_graph.mesh import periodic_box

MESH = periodic_box(48, seed=2)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rollout")
    torch.manual_seed(0)
    sizes = Architecture(processor_steps=1, node_hidden=8, edge_hidden=8, use_time=False)
    for name in ("model", "other"):
        base = RIGNO(4, 4, architecture=sizes, lead_time=0.1)
        corrector = MessagePassing(4, 4, hidden=8, layers=1)
        model = IRNO(base, corrector, steps=2, scaling=Scaling.identity(4, 4))
        save(model, folder / f"{name}.safetensors")
    x, y = 2 * np.pi * MESH.points.T
    start = np.stack([0.1 + 0.01 * np.sin(x), np.sin(y), np.cos(x), 2.5 + 0.1 * np.cos(y)], axis=-1)
    with h5py.File(folder / "flows.nc", "w") as file:
        file["u"] = np.stack([[start], [1.1 * start], [0.9 * start]]).astype(np.float32)
        file["x"], file["t"] = MESH.points[None, None], np.zeros(1)
        file["tri"] = MESH.cells_of("triangle").astype(np.int32)
    return folder


def command(place: Path, out: Path, *options: str, model: str = "model") -> list[str]:
    return [
        "rollout",
        str(place / f"{model}.safetensors"),
        str(place / "flows.nc"),
        "--out",
        str(out),
        *options,
    ]


def test_trajectories_are_rolled_out_alone_or_together(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, source = load(place / "model.safetensors"), TrajectoryFile(place / "flows.nc")
    graph = Graph.from_mesh(source.mesh())
    for chosen, numbers in (("1", [1]), ("2,0", [2, 0]), ("all", [0, 1, 2])):
        out = tmp_path / f"{len(numbers)}.nc"
        assert run(command(place, out, "--trajectory", chosen, "--steps", "1", "--time-steps", "3")) == 0
        start = torch.stack([source[number][0] for number in numbers])
        state = start[0] if len(numbers) == 1 else start
        found = rollout(model, state, graph, 3, steps=1).states
        with h5py.File(out) as file:
            np.testing.assert_array_equal(file["u"], found.reshape(4, -1, 48, 4).movedim(0, 1).numpy())
    shown = capsys.readouterr()
    assert "left" in shown.out
    assert "3 time steps of 3 of 3 samples: all steps were taken." in shown.out
    assert "from trajectory all of" in shown.out
    assert shown.err == ""


def test_the_same_command_goes_on_and_more_time_steps_make_it_longer(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.nc"
    for count, before in (("2", None), ("2", 2), ("5", 2)):
        assert run(command(place, out, "--time-steps", count)) == 0
        shown = capsys.readouterr().out
        assert ("there already" in shown) == (before is not None)
        assert before is None or f"{before} of {count} time steps were there already." in shown
    assert run(command(place, tmp_path / "whole.nc", "--time-steps", "5")) == 0
    with h5py.File(out) as ours, h5py.File(tmp_path / "whole.nc") as theirs:
        assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(
    ("options", "model", "said"),
    [
        ((), "other", "differs in model: give"),
        (("--trajectory", "1"), "model", "differs in data, trajectories: give"),
        (("--steps", "1"), "model", "differs in steps: give"),
        (("--time-steps", "1"), "model", "holds 2 time steps of this rollout, 1 are asked for"),
        (("--trajectory", "0,3"), "model", "should be in 0..2"),
        (("--trajectory", "0;1"), "model", "should be a number"),
    ],
)
def test_another_rollout_needs_to_be_told_to_overwrite(
    place: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    model: str,
    said: str,
) -> None:
    out = tmp_path / "a.nc"
    assert run(command(place, out, "--time-steps", "2")) == 0
    before = out.read_bytes()
    given = options if "--time-steps" in options else (*options, "--time-steps", "2")
    assert run(command(place, out, *given, model=model)) == 2
    assert said in capsys.readouterr().err
    assert out.read_bytes() == before
    code = run(command(place, out, *given, "--overwrite", model=model))
    assert code == (2 if "should be" in said else 0)
    assert (out.read_bytes() == before) == ("should be" in said)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".nc", ".xdmf"])
def test_a_killed_rollout_ends_in_the_same_arrays(place: Path, tmp_path: Path, suffix: str) -> None:
    """SIGKILL in the first time steps, and some time after more of them; then the same command to the end."""
    whole, cut = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    assert run(command(place, whole, "--time-steps", "400")) == 0
    program = "import sys; from irno_graph.cli import run; sys.exit(run(sys.argv[1:]))"
    arguments = [sys.executable, "-c", program, *command(place, cut, "--time-steps", "400")]
    states = tmp_path / f"cut{suffix}.parts" / "states"
    for delay in (0.0, 0.05):
        size = states.stat().st_size if states.is_file() else 0
        child = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
        while not states.is_file() or states.stat().st_size <= size:
            assert child.poll() is None
            time.sleep(0.0005)
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        assert not cut.exists()
    assert run(command(place, cut, "--time-steps", "400")) == 0
    end = ".nc" if suffix == ".nc" else ".h5"
    with h5py.File(whole.with_suffix(end)) as ours, h5py.File(cut.with_suffix(end)) as theirs:
        assert set(ours) == set(theirs)
        assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)
    names = {file.name for file in tmp_path.iterdir()}
    assert {name.replace("cut", "whole") for name in names} == {
        name for name in names if name.startswith("whole")
    }
