"""Correctors trained one after the other, each on the frozen model before it."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import config

import irno_graph as ig
from irno_graph.experiments.config import read_config
from irno_graph.experiments.sets import read_sets
from irno_graph.experiments.train import train
from irno_graph.refine import RefinedBase
from irno_graph.training.pairs import TrajectorySet

ONE_PASS = ["corrector.steps=1", "corrector.alpha=1.0"]


def run(path: Path, stage: str, *changes: str) -> Path:
    with warnings.catch_warnings(action="ignore"):
        (file,) = train(path, stage=stage, changes=[*ONE_PASS, *changes], report=lambda line: None)
    return file


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A config whose folder has a base, a first pass and, in `second`, one on it."""
    own = config(tmp_path_factory.mktemp("passes"), base=4, corrector=5)
    run(own, "base")
    run(own, "corrector")
    run(own, "corrector", *second(own))
    return own


def first_file(path: Path) -> Path:
    return path.parent / "run" / "model.safetensors"


def second(path: Path) -> tuple[str, ...]:
    return f"base_file={first_file(path)}", f"folder={path.parent}/second", "seed=1"


def test_a_second_pass_is_trained_on_what_the_first_one_leaves(path):
    first = ig.load(first_file(path)).requires_grad_(False)
    model = ig.load(path.parent / "second" / "model.safetensors")
    assert isinstance(model.base, RefinedBase)
    assert (model.steps, model.alpha, model.lead_time) == (1, 1.0, 0.1)
    inner: Any = model.base.model.state_dict()
    assert set(inner) == set(first.state_dict())
    for name, value in first.state_dict().items():
        assert torch.equal(inner[name], value), name
    assert model.base_hash == ig.IRNO(RefinedBase(first), model.corrector).base_hash
    parts: list[TrajectorySet] = read_sets(read_config(path), "train", "cpu", lambda line: None)
    for own, answer in ((first, first.base), (model, lambda x, graph: first(x, graph).value)):
        with torch.no_grad():
            errors = [answer(part.states[:, :-1], part.graph) - part.states[:, 1:] for part in parts]
        mean = torch.cat([error.double().square().mean(dim=2).flatten(0, 1) for error in errors]).mean(dim=0)
        torch.testing.assert_close(own.scaling.error, mean.sqrt().float(), rtol=1e-4, atol=0)
    with torch.no_grad():
        x, graph = parts[0].states[:, 0], parts[0].graph
        assert torch.equal(model(x, graph, steps=0).value, first(x, graph).value)
        assert not torch.equal(model(x, graph).value, first(x, graph).value)


def test_its_corrector_is_trained_on_like_any_other(path):
    begun = path.parent / "second" / "model.safetensors"
    on = run(path, "corrector", f"start={begun}", f"folder={path.parent}/on", "seed=3")
    assert ig.load(on).base_hash == ig.load(begun).base_hash


def test_a_pass_on_a_model_with_another_number_of_steps_is_another_run(path):
    first = ig.load(first_file(path))
    first.steps = 2
    other = ig.save(first, path.parent / "other.safetensors")
    before = first_file(path).read_bytes()
    try:
        other.replace(first_file(path))
        with pytest.raises(ValueError, match="`base_settings` was"):
            run(path, "corrector", *second(path))
    finally:
        first_file(path).write_bytes(before)


def test_what_no_base_can_be_is_named(path, tmp_path):
    nowhere = f"folder={tmp_path}/control"
    with pytest.raises(ValueError, match=r"control of `tiny` should go on from a RIGNO, .*got RefinedBase"):
        run(path, "control", f"base_file={first_file(path)}", nowhere)
    assert not (tmp_path / "control").exists()
    corrector = ig.save(ig.load(first_file(path)).corrector, tmp_path / "corrector.safetensors")
    with pytest.raises(
        ValueError, match=r"corrector\.safetensors` should hold a base .*, or a model .*got Multi"
    ):
        run(path, "corrector", f"base_file={corrector}")
