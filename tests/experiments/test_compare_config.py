"""Files of comparisons: what is wrong is named, sets are kept apart, and a change renews what depends on it."""

from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from irno_graph.experiments.compare import CompareConfig, read_compare_config
from irno_graph.experiments.compare.config import PartConfig, ProblemConfig, _check_apart
from irno_graph.experiments.compare.run import Unit, Workshop
from irno_graph.experiments.config import ConfigError

FILE = """
problem:
  kind: darcy
  train: {path: darcy.pt, first: 0, count: 24}
  valid: {path: darcy.pt, first: 24, count: 8}
  tests:
    same: {path: darcy.pt, first: 32, count: 8}
bases: {fno: {}}
correctors: {unet: {depth: 1}}
"""


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("corrector.alpha=2", "corrector.alpha"),
        ("corrector.parameters=0", "corrector.parameters"),
        ("base.seconds=0", "base.seconds"),
        ("seeds=[1,1]", "seeds"),
        ("problem.kind=heat", "problem.kind"),
        ("problem.generator=heat", "problem.generator"),
        ("bases.dno={}", "bases"),
        ("correctors.gnn={}", "correctors"),
        ("corrector.spectral_loss=wavelet", "corrector.spectral_loss"),
        ("problem.valid.first=20", "in common"),
        ("problem.valid.first=-8", "problem.valid.first` should be 0 or more"),
        ("problem.tests.same.count=-1", "problem.tests.same.count` should be 0 or more"),
        ("corrector.stepz=1", "stepz"),
    ],
)
def test_what_a_file_has_wrong_is_named(tmp_path, change, key):
    file = tmp_path / "compare.yaml"
    file.write_text(FILE)
    with pytest.raises(ConfigError, match=key):
        read_compare_config(file, (change,))


def part(path, **options):
    return PartConfig(path=path, **options)


@pytest.mark.parametrize(
    ("one", "other", "common"),
    [
        (part("a", count=5), part("a", first=5, count=5), False),
        (part("a", count=6), part("a", first=5, count=5), True),
        (part("a", first=5, count=5), part("a", first=2), True),
        (part("a", first=5, count=5), part("a", first=10), False),
        (part("a"), part("./b/../a"), True),
        (part("a"), part("b"), False),
        (part("a", make={"seed": 1}), part("b", make={"seed": 1, "nodes": 5}), True),
        (part("a", make={"seed": 1}), part("b", make={"seed": 2}), False),
        (part("a", make={"nodes": 4}), part("b", make={"seed": 0}), True),  # 0 is the generators' default
        (part("a", make={"seed": 1}), part("b"), False),
    ],
)
def test_parts_have_no_sample_in_common(one, other, common):
    for train, valid in ((one, other), (other, one)):
        apart = CompareConfig(problem=ProblemConfig(train=train, valid=valid, tests={"t": part("t")}))
        with pytest.raises(ConfigError, match="in common") if common else nullcontext():
            _check_apart(apart.problem, Path("file"))
        tests = {"t": train, "u": valid}  # may share samples
        _check_apart(ProblemConfig(train=part("x"), valid=part("y"), tests=tests), Path("file"))


@pytest.mark.parametrize(
    ("change", "renewed"),
    [
        ({"title": "other"}, ""),
        ({"folder": "elsewhere"}, ""),
        ({"threads": 2}, "base control corrector seen scores costs"),
        ({"problem.apart": 2}, "base control corrector seen scores costs"),
        ({"base.patience": 9}, "base control corrector seen scores costs"),
        ({"problem.tests": {"other": PartConfig(path="b")}}, "scores costs"),
        ({"corrector.steps": 9}, "control corrector scores costs"),
        ({"correctors.unet": {"depth": 1}}, "corrector scores costs"),
        ({"correctors.resnet": {"layers": 1}}, "scores costs"),
        ({"bases.fno": {"modes": 3}}, "base control corrector seen scores costs"),
        ({"bases.tfno": {"modes": 3}}, "scores costs"),
        ({"seeds": [0, 7]}, "scores costs"),
    ],
)
def test_what_a_change_renews(change, renewed):
    """Of the base fno and its U-Net: what is trained depends on no other base, corrector or test."""
    config = CompareConfig(bases={"fno": {}, "tfno": {}}, correctors={"unet": {}, "resnet": {}})
    other = deepcopy(config)
    for key, value in change.items():
        *path, last = key.split(".")
        place: Any = other
        for name in path:
            place = place[name] if isinstance(place, dict) else getattr(place, name)
        place.__setitem__(last, value) if isinstance(place, dict) else setattr(place, last, value)
    units = [
        Unit(what, "fno", 0, "unet" if what in ("corrector", "costs") else "")
        for what in ("base", "control", "corrector", "seen", "scores", "costs")
    ]
    keys = [[Workshop(own).key(unit) for unit in units] for own in (config, other)]
    changed = [unit.what for unit, one, two in zip(units, *keys, strict=True) if one != two]
    assert changed == renewed.split()
