"""Damaged, altered and foreign model files: refused, none executed, none taken for another model."""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import irno_graph as ig

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def fuzzer(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("fuzz_models", "model_impostors", "model_damage"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return import_module("fuzz_models")


def test_damaged_files_are_refused_or_hold_the_same_model(fuzzer: ModuleType) -> None:
    rows = fuzzer.fuzz(120, seed=2)
    assert [problem for row in rows.values() for problem in row.wrong] == []
    assert sum(row.refused + row.same for row in rows.values()) == 120
    assert rows["spaces and order"].same == 8


def test_the_fuzzer_sees_a_reader_that_does_not_look(
    fuzzer: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("irno_graph.refine.storage.description_hash", lambda said: "always the same")
    rows = fuzzer.fuzz(60, seed=0)
    assert any(rows["words in the description"].wrong + rows["numbers in the description"].wrong)


@pytest.mark.parametrize(
    "name", ["a" * 5000, "a\0b.safetensors", "", ".", "/dev/zero", "/dev/null/a.safetensors"]
)
def test_paths_that_are_no_files_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="should be a"):
        ig.load(name)
