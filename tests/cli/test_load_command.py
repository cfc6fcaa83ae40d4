"""`irno-graph load`: what a model file is, in words and in JSON; one line for files that are none."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import irno_graph as ig
from irno_graph.bases.rigno import Architecture
from irno_graph.cli import run
from irno_graph.refine import Anderson, Guard, Harmonic
from irno_graph.refine.facts import facts, words
from irno_graph.refine.storage import locate


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    sizes = Architecture(processor_steps=1, node_hidden=6, edge_hidden=4, correction_hidden=None)
    base = ig.bases.RIGNO(2, 3, architecture=sizes)
    units = {name: torch.full((2,), 0.5) for name in ("input_mean", "input_std")}
    units |= {name: torch.full((3,), 2.0) for name in ("mean", "std", "error")}
    ones = (1.0,) * 5
    model = ig.IRNO(
        base,
        ig.correctors.MessagePassing(2, 3, hidden=6, layers=1),
        alpha=Harmonic(0.375, after=2),
        steps=7,
        scaling=ig.Scaling(**units),
        solver=Anderson(memory=3),
        guard=Guard(2, ones, ones, ones, 1.0, 0.01),
    )
    about = {"data": {"train": [{"file": "[bold]a.nc", "samples": 80}]}, "commit": "c0ffee"}
    return ig.save(model, tmp_path / "model.safetensors", about=about)


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed, on one line."""
    return " ".join(capsys.readouterr().out.split())


def test_the_table_says_what_the_model_is(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["load", str(saved)]) == 0
    found, model = shown(capsys), ig.load(saved)
    weights = sum(value.numel() for value in model.corrector.parameters())
    for words_ in (
        "all hashes agree",
        f"MessagePassing, {weights} weights",
        "node_hidden 6",
        "alpha Harmonic(alpha=0.375, after=2)",
        "steps 7",
        "solver Anderson(memory=3, regularisation=1e-10, mixing=None)",
        "guard after 2 steps, 1 % false alarms",
        "input_mean 0.5 0.5, input_std 0.5 0.5, mean 2 2 2",
        "trained on train file [bold]a.nc, samples 80",
        "trained at c0ffee",
        f"torch {torch.__version__.split('+')[0]}",
    ):
        assert words_ in found, words_


def test_json_holds_the_whole_description_and_nothing_is_printed_beside_it(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["load", str(saved), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["corrector"]["config"]["hidden"] == 6
    assert found["base_hash"] == ig.load(saved).base_hash
    assert found["scaling"]["mean"] == [2.0, 2.0, 2.0]
    assert found["weights"].keys() == {"base", "corrector"}


def test_parts_alone_and_bases_that_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corrector = ig.correctors.MessagePassing(2, 3, hidden=6, layers=1)
    assert run(["load", str(ig.save(corrector, tmp_path / "corrector.safetensors"))]) == 0
    found = shown(capsys)
    assert "module MessagePassing" in found
    assert "alpha" not in found
    assert "trained on not said" in found
    model = ig.IRNO(lambda x, graph: x, corrector)
    assert run(["load", str(ig.save(model, tmp_path / "model.safetensors"))]) == 0
    found = shown(capsys)
    assert "base Callable (not in the file)" in found
    assert "scaling none" in found


def test_the_shipped_model_has_hashes_and_a_file_of_the_format_before_says_that_it_has_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["load", "ce-gauss-small"]) == 0
    found = shown(capsys)
    assert "RIGNO, 183012 weights" in found
    assert "all hashes agree" in found
    with safe_open(locate("ce-gauss-small"), framework="pt") as file:
        said = json.loads(file.metadata()["irno_graph"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del said["description_hash"], said["commit"]
    said |= {"format": 1, "scaling": {name: said["scaling"][name] for name in ("in_channels", "channels")}}
    save_file(tensors, tmp_path / "old.safetensors", metadata={"irno_graph": json.dumps(said)})
    assert run(["load", str(tmp_path / "old.safetensors")]) == 0
    found = shown(capsys)
    assert "the format is the one before" in found
    assert "all hashes agree" not in found


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _altered(data: bytes) -> bytes:
    return data.replace(b'\\"steps\\": 7', b'\\"steps\\": 8')


def _other_weight(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize("damage", [_cut, _altered, _other_weight, lambda data: b"", lambda data: b"PK\3\4"])
def test_damaged_altered_and_foreign_files_are_one_line_and_code_2(
    saved: Path, capsys: pytest.CaptureFixture[str], damage
) -> None:
    bad = saved.with_name("bad.safetensors")
    bad.write_bytes(damage(saved.read_bytes()))
    assert bad.read_bytes() != saved.read_bytes()
    for arguments in (["load", str(bad)], ["load", str(bad), "--json"]):
        assert run(arguments) == 2
        found = capsys.readouterr()
        assert found.out == ""
        assert found.err.count("\n") == 1
        assert "bad.safetensors" in found.err


def test_a_missing_file_lists_the_shipped_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["load", "nothing.safetensors"]) == 2
    assert "ce-gauss-small" in capsys.readouterr().err


def test_words_of_all_that_json_holds() -> None:
    assert words([{"a": 1}, {"a": 2.50}]) == "a 1; a 2.5"
    assert words({"flag": True, "empty": [], "zero": 0}) == "flag yes, zero 0"
    found = dict(facts({"module": {"kind": "RIGNO", "config": {}}, "about": {"config": {"data": "x"}}}, {}))
    assert found["trained on"] == "x"
    assert found["saved at"] == "not said"
