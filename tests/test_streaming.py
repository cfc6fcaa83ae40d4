"""Rollouts in files: the same arrays however often they were interrupted, and no other rollout is touched."""

from pathlib import Path
from typing import Any

import h5py
import meshio
import numpy as np
import pytest
import torch
from scipy.spatial import Delaunay
from torch import Tensor, nn

from irno_graph import Graph, Status
from irno_graph.data import TrajectoryFile
from irno_graph.experiments.evaluation import flow_fields
from irno_graph.experiments.records import Records
from irno_graph.experiments.streaming import Written, stream_to_file, trajectory_numbers
from irno_graph.mesh import Mesh, periodic_box
from irno_graph.rollout import rollout

MESH = periodic_box(48, seed=3)
GRAPH = Graph.from_mesh(MESH)
START = torch.randn(48, 4, generator=torch.Generator().manual_seed(0))
SETTINGS = {"model": "a", "data": "b--c", "steps": 2}


class Stopped(Exception):
    pass


class Logistic(nn.Module):
    """Chaotic: u -> 3.9 u (1 - u) of u in (0, 1), here shifted; what lies outside runs away. Stops when it is told."""

    lead_time = 0.25

    def __init__(self, stop: int = -1) -> None:
        super().__init__()
        self.calls, self.stop = 0, stop

    def forward(self, x: Tensor, graph: Graph, *, time: Any = None, lead_time: Any = None) -> Tensor:
        if self.calls == self.stop:
            raise Stopped
        self.calls += 1
        inside = torch.sigmoid(x)
        return torch.where(x.abs() > 40, torch.inf, torch.logit(0.97 * inside + 0.01)) + 0 * time

    __call__: Any


def write(path: Path, model: nn.Module, time_steps: int = 6, **options: Any) -> Written:
    given: dict[str, Any] = {"state": START, "settings": SETTINGS, **options}
    return stream_to_file(path, model, given.pop("state"), MESH, time_steps, **given)


def content(path: Path) -> dict[str, np.ndarray]:
    """All arrays of the files beside `path` that have its name."""
    found: dict[str, np.ndarray] = {}
    for file in sorted(path.parent.glob(f"{path.stem}*")):
        if file.suffix in (".nc", ".h5"):
            with h5py.File(file) as stored:
                found |= {f"{file.suffix} {name}": np.asarray(stored[name]) for name in stored}
        elif file.suffix == ".vtu":
            raw = meshio.read(file)
            found |= {f"{file.name} {name}": values for name, values in raw.point_data.items()}
        else:
            found[file.name] = np.frombuffer(file.read_bytes(), np.uint8)
    return found


def assert_same(ours: Path, theirs: Path) -> None:
    one, two = content(ours), content(theirs)
    assert one.keys() == two.keys()
    for name in one:
        assert one[name].dtype == two[name].dtype
        np.testing.assert_array_equal(one[name], two[name])
    assert {file.name for file in ours.parent.iterdir()} == {file.name for file in theirs.parent.iterdir()}


def test_the_file_holds_the_states_of_the_rollout(tmp_path: Path) -> None:
    found = rollout(Logistic(), START, GRAPH, 6)
    assert write(tmp_path / "a.nc", Logistic()) == (tmp_path / "a.nc", [Status.DONE], 0)
    again = TrajectoryFile(tmp_path / "a.nc")
    assert torch.equal(again[0], found.states)
    assert again.times.tolist() == found.times.tolist()
    assert again.graph().key() == GRAPH.key()
    assert [file.name for file in tmp_path.iterdir()] == ["a.nc"]


@pytest.mark.parametrize("suffix", [".xdmf", ".pvd"])
def test_a_series_holds_its_fields(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"a{suffix}", Logistic(), time_steps=3, time=2.0)
    found = rollout(Logistic(), START, GRAPH, 3, time=2.0)
    expected = flow_fields(found.states, GRAPH)
    for step, time in enumerate(found.times.tolist()):
        if suffix == ".xdmf":
            with meshio.xdmf.TimeSeriesReader(tmp_path / "a.xdmf") as reader:
                reader.read_points_cells()
                assert reader.num_steps == 4
                at, data, _ = reader.read_data(step)
            assert at == time
        else:
            data = meshio.read(tmp_path / f"a_{step:05d}.vtu").point_data
            assert f'timestep="{time!r}"' in (tmp_path / "a.pvd").read_text()
        for name, values in expected.items():
            shown = data[name][:48]
            np.testing.assert_array_equal(shown[:, :2] if shown.ndim == 2 else shown, values[step])


@pytest.mark.parametrize("suffix", [".nc", ".xdmf", ".pvd"])
@pytest.mark.parametrize("stop", range(6))
def test_what_was_stopped_at_any_time_step_ends_in_the_same_arrays(
    tmp_path: Path, suffix: str, stop: int
) -> None:
    whole, cut = (tmp_path / name / f"a{suffix}" for name in ("whole", "cut"))
    write(whole, Logistic())
    with pytest.raises(Stopped):
        write(cut, Logistic(stop))
    assert not cut.exists()
    assert cut.with_name(f"a{suffix}.parts").exists() == (stop > 0)
    model, told = Logistic(), []
    assert write(cut, model, progress=lambda *now: told.append(now)).before == stop
    assert model.calls == 6 - stop
    assert told[0] == (stop, 6)
    assert told[-1] == (6, 6)
    assert_same(cut, whole)


OPTIONS: dict[str, dict[str, Any]] = {
    "several from one state": {"lead_time": 0.1, "tau_max": 0.35},
    "in parts": {"lead_time": 0.3, "tau_max": 0.2},
    "from a later time": {"time": 3.0, "lead_time": 0.1},
    "a sample that ends": {"tau_max": 0.5, "state": torch.stack([START, 30 * START, START + 1])},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("stop", [1, 3, 4, 7])
def test_stopped_rollouts_with_options(tmp_path: Path, options: dict[str, Any], stop: int) -> None:
    whole, cut = (tmp_path / name / "a.nc" for name in ("whole", "cut"))
    ended = write(whole, Logistic(), 8, **options)
    with pytest.raises(Stopped):
        write(cut, Logistic(stop), 8, **options)
    assert write(cut, Logistic(), 8, **options).status == ended.status
    assert_same(cut, whole)
    given = {name: value for name, value in options.items() if name != "state"}
    states = rollout(Logistic(), options.get("state", START), GRAPH, 8, **given).states
    with h5py.File(cut) as file:
        np.testing.assert_array_equal(np.squeeze(file["u"]), np.squeeze(states.movedim(0, -3).numpy()))
        assert np.isnan(file["u"]).any() == ("state" in options)
        assert file["t"][0] == options.get("time", 0.0)


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.999, 1.0, 1.4, 2.0])
def test_a_write_that_was_cut_off_leaves_the_records_before_it(tmp_path: Path, part: float) -> None:
    whole, cut = (tmp_path / name / "a.nc" for name in ("whole", "cut"))
    write(whole, Logistic())
    with pytest.raises(Stopped):
        write(cut, Logistic(stop=4))
    states = cut.with_name("a.nc.parts") / "states"
    size = states.stat().st_size // 4
    with states.open("r+b") as file:
        file.truncate(round((2 + part) * size))
    model = Logistic()
    assert write(cut, model).before == 2 + int(part)
    assert model.calls == 4 - int(part)
    assert_same(cut, whole)


def test_damaged_records_and_what_follows_them_are_made_again(tmp_path: Path) -> None:
    whole, cut = (tmp_path / name / "a.nc" for name in ("whole", "cut"))
    write(whole, Logistic())
    with pytest.raises(Stopped):
        write(cut, Logistic(stop=4))
    states = cut.with_name("a.nc.parts") / "states"
    found = bytearray(states.read_bytes())
    found[len(found) // 4 + 100] ^= 1  # in the second record
    states.write_bytes(bytes(found) + b"more")
    assert write(cut, Logistic()).before == 1
    assert_same(cut, whole)


@pytest.mark.parametrize("text", ["", "[]", '{"model"'])
def test_a_folder_whose_settings_were_damaged_is_not_touched(tmp_path: Path, text: str) -> None:
    with pytest.raises(Stopped):
        write(tmp_path / "a.nc", Logistic(stop=2))
    (tmp_path / "a.nc.parts" / "settings.json").write_text(text)
    with pytest.raises(ValueError, match="differs in data, model, steps"):
        write(tmp_path / "a.nc", Logistic())


def test_records_that_are_not_in_order_are_made_again(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        write(tmp_path / "a.nc", Logistic(stop=4))
    states = tmp_path / "a.nc.parts" / "states"
    found = states.read_bytes()
    states.write_bytes(found[: len(found) // 4] + found[len(found) // 2 :])
    assert write(tmp_path / "a.nc", Logistic()).before == 1


@pytest.mark.parametrize("suffix", [".nc", ".xdmf", ".pvd"])
@pytest.mark.parametrize("stop", [1, 4, 8, 9, "moving"])
def test_what_was_stopped_while_its_file_was_made(
    tmp_path: Path, suffix: str, stop: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = (tmp_path / name / f"a{suffix}" for name in ("whole", "cut"))
    write(whole, Logistic())
    calls, read, move = 0, Records._record, Path.replace

    def stopping(self: Records, number: int) -> Any:
        nonlocal calls
        calls += 1
        if calls == stop:
            raise Stopped
        return read(self, number)

    def staying(self: Path, target: Path) -> Path:
        if target == cut and stop == "moving":
            raise Stopped
        return move(self, target)

    monkeypatch.setattr(Records, "_record", stopping)
    monkeypatch.setattr(Path, "replace", staying)
    with pytest.raises(Stopped):
        write(cut, Logistic())
    assert not cut.exists()
    if stop == "moving":  # all but the main file are there
        assert len(list(cut.parent.iterdir())) == {".nc": 1, ".xdmf": 2, ".pvd": 8}[suffix]
    model = Logistic()
    stop = 0
    write(cut, model)
    assert model.calls == 0
    assert_same(cut, whole)


def test_a_rollout_becomes_longer(tmp_path: Path) -> None:
    """Half-made, finished, and stopped while a finished one was made longer."""
    whole, cut = (tmp_path / name / "a.nc" for name in ("whole", "cut"))
    options: dict[str, Any] = {"tau_max": 0.8, "state": torch.stack([START, 30 * START])}
    write(whole, Logistic(), 9, **options)
    with pytest.raises(Stopped):
        write(cut, Logistic(stop=2), 3, **options)
    model = Logistic()
    write(cut, model, 5, **options)
    assert model.calls == 3
    before = cut.read_bytes()
    with pytest.raises(Stopped):
        write(cut, Logistic(stop=2), 9, **options)
    assert cut.read_bytes() == before  # until the longer one is ready
    model = Logistic()
    assert write(cut, model, 9, **options).before == 7
    assert model.calls == 2
    assert_same(cut, whole)


def test_what_was_stopped_while_it_tidied_up_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopping(_: Records) -> None:
        raise Stopped

    monkeypatch.setattr(Records, "remove", stopping)
    with pytest.raises(Stopped):
        write(tmp_path / "a.nc", Logistic())
    monkeypatch.undo()
    model = Logistic()
    assert write(tmp_path / "a.nc", model).before == 6
    assert model.calls == 0
    assert [file.name for file in tmp_path.iterdir()] == ["a.nc"]


def test_a_finished_rollout_is_left_as_it_is(tmp_path: Path) -> None:
    for suffix in (".nc", ".xdmf", ".pvd"):
        path, model = tmp_path / f"a{suffix}", Logistic()
        write(path, model)
        before = path.stat().st_mtime_ns, path.stat().st_ino
        assert write(path, model) == (path, [Status.DONE], 6)
        assert model.calls == 6
        assert (path.stat().st_mtime_ns, path.stat().st_ino) == before


def test_other_rollouts_are_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    with pytest.raises(Stopped):
        write(path, Logistic(stop=3))
    other = {**SETTINGS, "model": "z", "steps": 3}
    with pytest.raises(
        ValueError, match=r"a\.nc\.parts` holds a half-made rollout that differs in model, steps:"
    ):
        write(path, Logistic(), settings=other)
    with pytest.raises(ValueError, match="holds 3 time steps of this rollout, 2 are asked for"):
        write(path, Logistic(), 2)
    write(path, Logistic())
    before = path.read_bytes()
    with pytest.raises(ValueError, match="differs in model, steps: give another name, or overwrite"):
        write(path, Logistic(), settings=other)
    with pytest.raises(ValueError, match="holds 6 time steps of this rollout, 5 are asked for"):
        write(path, Logistic(), 5)
    assert path.read_bytes() == before
    for suffix in (".xdmf", ".pvd"):
        write(path.with_suffix(suffix), Logistic(), 2)
        with pytest.raises(ValueError, match="finished with 2 time steps"):
            write(path.with_suffix(suffix), Logistic(), 3)
        with pytest.raises(ValueError, match="differs in model, steps"):
            write(path.with_suffix(suffix), Logistic(), 2, settings=other)
    (tmp_path / "b.nc").write_text("mine")
    (tmp_path / "b.xdmf").write_text("<Xdmf/>")
    for name in ("b.nc", "b.xdmf"):
        with pytest.raises(ValueError, match="is there and not a rollout"):
            write(tmp_path / name, Logistic())
    assert (tmp_path / "b.nc").read_text() == "mine"
    assert not list(tmp_path.glob("*.parts"))


def test_overwriting_begins_anew_and_goes_on_with_what_it_began(tmp_path: Path) -> None:
    path, other = tmp_path / "a.nc", {**SETTINGS, "model": "z"}
    write(path, Logistic(), 9)
    before = path.read_bytes()
    with pytest.raises(Stopped):
        write(path, Logistic(stop=2), 4, settings=other, overwrite=True)
    assert path.read_bytes() == before
    model = Logistic()
    assert write(path, model, 4, settings=other, overwrite=True).before == 2
    assert model.calls == 2
    assert TrajectoryFile(path).shape[1] == 5
    model = Logistic()
    assert write(path, model, 3, settings=other, overwrite=True).before == 0  # a shorter one
    assert model.calls == 3
    with pytest.raises(Stopped):
        write(path, Logistic(stop=2), 4, overwrite=True)
    write(path, Logistic(), 4, settings=other, overwrite=True)  # the half-made one is of another rollout
    assert [file.name for file in tmp_path.iterdir()] == ["a.nc"]


def test_two_processes_do_not_write_into_one_file(tmp_path: Path) -> None:
    class Meddling(Logistic):
        def forward(self, *args: Any, **options: Any) -> Tensor:
            if self.calls == 3:
                (tmp_path / "a.nc.parts" / "states").write_bytes(b"")
            return super().forward(*args, **options)

    with pytest.raises(ValueError, match="does another process write"):
        write(tmp_path / "a.nc", Meddling())


def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    several = torch.stack([START, START])
    for name, options, said in (
        ("a.abc", {}, "xdmf, .pvd or .nc"),
        ("a.xdmf", {"state": several}, "holds one rollout, got 2"),
        ("a.nc", {"state": START[:40]}, "nodes=48"),
        ("a.nc", {"time_steps": -1}, "time_steps"),
        ("a.nc", {"state": START.double().half()}, "should answer with states like the first"),
    ):
        with pytest.raises(ValueError, match=said):
            write(tmp_path / name, Widening(), **options)
    assert not list(tmp_path.iterdir())


class Widening(nn.Module):
    """Answers in float32, whatever it is asked in."""

    def forward(self, x: Tensor, graph: Graph) -> Tensor:
        return x.float()


def test_no_time_steps_are_the_start_alone(tmp_path: Path) -> None:
    write(tmp_path / "a.nc", Logistic(), 0)
    assert torch.equal(TrajectoryFile(tmp_path / "a.nc")[0], START[None])


def test_a_box_without_period_is_written_as_it_is(tmp_path: Path) -> None:
    mesh = Mesh(MESH.points, [("triangle", Delaunay(MESH.points).simplices)])
    stream_to_file(tmp_path / "a.pvd", Logistic(), START, mesh, 1, settings=SETTINGS)
    assert len(meshio.read(tmp_path / "a_00001.vtu").points) == 48


def test_numbers_of_trajectories() -> None:
    assert trajectory_numbers("12") == [12]
    for text in ("", "a", "1,", "-1", "1,1", "0,00"):
        with pytest.raises(ValueError, match="`trajectory` should be a number"):
            trajectory_numbers(text)
