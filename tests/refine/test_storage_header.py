"""What a model file says of its model, and that it cannot say anything else unnoticed."""

import json
import math
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import irno_graph as ig
from irno_graph.bases.rigno import Architecture
from irno_graph.refine import Guard, origin
from irno_graph.refine.hashes import description_hash, tensors_hash
from irno_graph.refine.limits import StorageError, Within, fits, grid_numbers
from irno_graph.refine.storage import describe

ONES = (1.0,) * 5
UNITS = {"input_mean": 2, "input_std": 2, "mean": 3, "std": 3, "error": 3}


def refined(**settings: Any) -> ig.IRNO:
    sizes = Architecture(processor_steps=1, node_hidden=6, edge_hidden=4, correction_hidden=None)
    base = ig.bases.RIGNO(2, 3, architecture=sizes) if settings.pop("base", None) is None else None
    corrector = ig.correctors.MessagePassing(2, 3, hidden=6, layers=1)
    scaling = ig.Scaling(**{name: torch.rand(count) + 0.5 for name, count in UNITS.items()})
    return ig.IRNO(base or (lambda x, graph: x), corrector, scaling=scaling, **settings)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return ig.save(refined(alpha=0.3, steps=5), tmp_path / "model.safetensors", about={"data": ["a.nc"]})


def rewritten(path: Path, change: Any, *, seal: bool = False) -> Path:
    """The file with its description changed, under another name."""
    with safe_open(path, framework="pt") as file:
        description = json.loads(file.metadata()["irno_graph"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(description)
    if seal:
        description["description_hash"] = description_hash(description)
    target = path.with_name("changed.safetensors")
    save_file(tensors, target, metadata={"irno_graph": json.dumps(description)})
    return target


def test_the_header_alone_says_what_the_model_is(saved: Path) -> None:
    data = saved.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    said = json.loads(header["__metadata__"]["irno_graph"])
    model = ig.load(saved)
    assert (said["alpha"], said["steps"], said["about"]) == (0.3, 5, {"data": ["a.nc"]})
    assert said["base_hash"] == model.base_hash
    assert said["weights_hash"] == tensors_hash(model.state_dict())
    assert said["corrector"]["config"]["hidden"] == 6
    assert said["base"]["config"]["architecture"]["node_hidden"] == 6
    for name in UNITS:  # a decimal number of float32 is read back as the same number
        assert torch.equal(torch.tensor(said["scaling"][name]), getattr(model.scaling, name))
    assert said["versions"]["torch"] == torch.__version__.split("+")[0]
    assert said["commit"] == origin.commit()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("alpha", 0.31),
        ("steps", 6),
        ("commit", "0" * 40),
        ("about", {}),
        ("versions", {}),
        ("base_hash", "0" * 64),
        ("guard", None),
    ],
)
def test_an_altered_entry_is_noticed(saved: Path, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"changed\.safetensors.*hash"):
        ig.load(rewritten(saved, lambda said: said.update({name: value})))
    with pytest.raises(ValueError, match=r"changed\.safetensors.*hash"):
        describe(rewritten(saved, lambda said: said.update({name: value})))


@pytest.mark.parametrize("name", ["description_hash", "weights_hash", "alpha", "corrector", "about"])
def test_a_missing_entry_is_noticed(saved: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"changed\.safetensors"):
        ig.load(rewritten(saved, lambda said: said.pop(name)))


def test_what_means_nothing_in_json_changes_nothing(saved: Path) -> None:
    def turn(said: dict[str, Any]) -> None:
        entries = list(said.items())[::-1]
        said.clear()
        said.update(entries)

    again, model = ig.load(rewritten(saved, turn)), ig.load(saved)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in again.state_dict().items())


def test_an_entry_that_is_there_twice_is_refused(saved: Path) -> None:
    """Another reader could take the first one, which the hash does not cover."""
    with safe_open(saved, framework="pt") as file:
        text = file.metadata()["irno_graph"]
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    target = saved.with_name("changed.safetensors")
    save_file(tensors, target, metadata={"irno_graph": '{"alpha": 0.9, ' + text[1:]})
    with pytest.raises(ValueError, match=r"changed\.safetensors.*twice"):
        ig.load(target)


def earlier(said: dict[str, Any]) -> None:
    """The description as format 1 had it."""
    del said["description_hash"], said["commit"]
    said["format"] = 1
    said["scaling"] = {name: said["scaling"][name] for name in ("in_channels", "channels")}


def test_files_of_the_format_before_are_read(saved: Path) -> None:
    model = ig.load(saved)
    again = ig.load(rewritten(saved, earlier))
    assert (again.alpha, again.steps) == (0.3, 5)
    assert torch.equal(again.scaling.mean, model.scaling.mean)
    assert describe("ce-gauss-small")["format"] == 2


@pytest.mark.parametrize("form", [True, 1.0, "1", None, 0, 3])
def test_other_formats_are_not_taken_for_it(saved: Path, form: Any) -> None:
    def change(said: dict[str, Any]) -> None:
        earlier(said)
        said["format"] = form

    with pytest.raises(ValueError, match=r"changed\.safetensors.*should have format 2"):
        ig.load(rewritten(saved, change))


def test_a_file_is_not_turned_into_one_of_the_format_before(saved: Path) -> None:
    with pytest.raises(ValueError, match="hash"):
        ig.load(rewritten(saved, lambda said: said.update(format=1)))


GUARD: dict[str, Any] = {
    **{name: [1.0] * 5 for name in ("middle", "below", "above")},
    **{"steps": 2, "threshold": 1.0, "rate": 0.1},
}
# Consistent hashes, and settings that are none: what a person could write, not what damage does.
IMPOSSIBLE: dict[str, Any] = {
    "another size": lambda said: said["corrector"]["config"].update(hidden=7),
    "a huge size": lambda said: said["corrector"]["config"].update(hidden=10**9),
    "many layers": lambda said: said["corrector"]["config"].update(layers=10**9),
    "layers of nothing": lambda said: said["corrector"]["config"].update(hidden=0, layers=10**9),
    "a word": lambda said: said["corrector"]["config"].update(hidden="os.system"),
    "a word for a flag": lambda said: said["base"]["config"].update(periodic="os.system"),
    "a word in a tuple": lambda said: said["base"]["config"].update(time_span=["a", "b"]),
    "not a number": lambda said: said["base"]["config"].update(lead_time=float("nan")),
    "a module for a kind": lambda said: said["corrector"].update(kind="os.system"),
    "a list for a kind": lambda said: said["corrector"].update(kind=[]),
    "a module for a schedule": lambda said: said.update(alpha={"kind": "os.system"}),
    "no step size": lambda said: said.update(alpha=float("nan")),
    "broken steps": lambda said: said.update(steps=2.5),
    "steps without end": lambda said: said.update(steps=10**400),
    "endless steps": lambda said: said.update(steps=float("inf")),
    "more than is known": lambda said: said["corrector"]["config"].update(more=1),
    "more at the top": lambda said: said.update(more=1),
    "other units": lambda said: said["scaling"]["mean"].__setitem__(0, 0.25),
    "units of more channels": lambda said: said["scaling"].update(channels=10**12),
    "another base": lambda said: said.update(base_hash="0" * 64),
    "a guard of words": lambda said: said.update(guard={**GUARD, "threshold": "os.system"}),
    "a guard of fewer features": lambda said: said.update(guard={**GUARD, "middle": [0.0]}),
    "a solver of words": lambda said: said.update(solver={"kind": "Anderson", "memory": "os.system"}),
    "a solver of half a difference": lambda said: said.update(solver={"kind": "Anderson", "memory": 2.5}),
    "nothing": lambda said: said.clear() or said.update(format=2),
}


@pytest.mark.parametrize("kind", IMPOSSIBLE)
def test_a_description_that_cannot_be_true_is_refused_with_its_own_hash_too(saved: Path, kind: str) -> None:
    with pytest.raises(StorageError, match=r"changed\.safetensors"):
        ig.load(rewritten(saved, IMPOSSIBLE[kind], seal=True))


def test_weights_that_a_model_would_round_are_refused(saved: Path) -> None:
    model = ig.load(saved)
    tensors = model.state_dict()
    tensors["corrector.last.bias"] = tensors["corrector.last.bias"].double() + 1e-12  # the others are float32
    with safe_open(saved, framework="pt") as file:
        said = json.loads(file.metadata()["irno_graph"])
    said["weights_hash"] = tensors_hash(tensors)
    said["description_hash"] = description_hash(said)
    target = saved.with_name("changed.safetensors")
    save_file(tensors, target, metadata={"irno_graph": json.dumps(said)})
    with pytest.raises(ValueError, match=r"changed\.safetensors.*other types of numbers"):
        ig.load(target)


def test_building_stops_where_tensors_grow_beyond_those_of_the_file() -> None:
    weights = {"a": torch.ones(10)}
    with pytest.raises(StorageError, match="far larger model"), Within(weights, {}):
        torch.empty(10**12)
    with pytest.raises(StorageError, match="far larger model"), Within(weights, {}):
        [torch.empty(0) for _ in range(10**4)]
    with Within({"a": torch.ones(2000, 1000)}, {}):  # as large as the file's
        assert torch.nn.Linear(1000, 2000).weight.shape == (2000, 1000)
    assert grid_numbers({"config": {"grid": {"shape": [3, 4]}}, "base": {"sphere": [5, 6]}}) == 8 * (
        12 + 30 * 6
    )
    with pytest.raises(StorageError, match="at most"):
        grid_numbers({"config": {"grid": {"shape": [10**6, 10**6]}}})


def test_types_of_settings() -> None:
    assert fits(2, float)
    assert not fits(True, str)
    assert not fits("8", int | None)
    assert not fits([1.0, "2"], tuple[float, float])
    assert not fits([1.0], tuple[float, float])
    sizes = {"processor_steps": 1, "node_hidden": "os.system"}
    assert not fits(sizes, Architecture | None)
    assert fits({"processor_steps": 1}, Architecture | None)


def test_what_json_cannot_hold_is_refused_before_a_file_is_written(tmp_path: Path) -> None:
    wrong: tuple[Any, ...] = ({"a": torch.ones(1)}, {"a": {1, 2}}, {(1, 2): 3})
    for about in wrong:
        with pytest.raises(ValueError, match="`about` should be what JSON can hold"):
            ig.save(refined(), tmp_path / "no.safetensors", about=about)
    assert list(tmp_path.iterdir()) == []
    about = {2: "a", 10: "b", "loss": math.nan, "ü": [math.inf]}  # names become words, other numbers stay
    found = describe(ig.save(refined(), tmp_path / "model.safetensors", about=about))["about"]
    assert list(found) == ["2", "10", "loss", "ü"]
    assert math.isnan(found["loss"])


def test_a_guard_that_lets_all_pass_comes_back(tmp_path: Path) -> None:
    model = refined(alpha=0.5)
    model.guard = Guard(2, ONES, ONES, ONES, math.inf, 0.1)
    assert ig.load(ig.save(model, tmp_path / "model.safetensors")).guard == model.guard


def test_the_commit_is_that_of_the_checkout_that_has_this_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", "-C", str(tmp_path), *who, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    monkeypatch.setattr(origin, "HERE", tmp_path / "origin.py")
    found = origin.commit.__wrapped__
    assert found() is None  # no repository
    git("init", "-q")
    (tmp_path / "origin.py").write_text("a = 1\n")
    (tmp_path / "other.py").write_text("")
    git("add", "other.py")
    git("commit", "-qm", "one")
    assert found() is None  # a repository that does not have the file: code of others around a package
    git("add", "origin.py")
    git("commit", "-qm", "two")
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # as in a hook
    monkeypatch.delenv("GIT_DIR")
    head = git("rev-parse", "HEAD")
    assert found() == head
    (tmp_path / "origin.py").write_text("a = 2\n")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert found() == f"{head}-dirty"
