"""What the benchmarks share: medians of calls in turn, memory at the peak, whole files that say where they are from."""

import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import torch

PATH = Path(__file__).parents[2] / "benchmarks" / "harness.py"


@pytest.fixture(scope="module")
def harness() -> ModuleType:
    spec = spec_from_file_location("harness", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_works_are_called_in_turn_and_the_first_rounds_do_not_count(
    harness: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, called = [0.0], []
    monkeypatch.setitem(harness.CLOCKS, "wall", lambda: clock[0])

    def work(name: str, takes: list[float]) -> object:
        def once() -> None:
            called.append(name)
            clock[0] += takes.pop(0)

        return once

    works = {"a": work("a", [100.0, 1.0, 5.0, 2.0]), "b": work("b", [100.0, 4.0, 3.0, 50.0])}
    assert harness.interleaved(works, 3) == {"a": 2.0, "b": 4.0}
    assert called == ["a", "b"] * 4


def test_a_used_up_budget_ends_after_the_least_number_of_rounds(harness: ModuleType) -> None:
    called: list[int] = []
    harness.interleaved({"": lambda: called.append(1)}, 9, budget=0.0, least=2)
    assert len(called) == 3


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_at_the_peak_counts_what_was_freed_again_and_not_what_was_there(harness: ModuleType) -> None:
    floats = 5 * 2**20  # 20 MiB each
    kept = torch.ones(floats)
    torch.ones(floats)
    mib = harness.added_peak(lambda: torch.ones(floats) + torch.ones(floats))
    assert 59 < mib < 75
    assert kept.sum() == floats


def test_a_result_says_where_it_is_from(harness: ModuleType, tmp_path: Path) -> None:
    harness.write_json(tmp_path / "a.json", {"seconds": 1.5})
    found = json.loads((tmp_path / "a.json").read_text())
    assert list(found) == ["machine", "versions", "seconds"]
    assert found["versions"]["torch"] == torch.__version__.split("+")[0]
    assert set(found["machine"]) == {"cpu", "cores", "memory_gib", "gpu"}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_process_gives_the_json_it_prints_last_and_its_errors_where_it_fails(harness: ModuleType) -> None:
    assert harness.own_process([sys.executable, "-c", "print('about'); print('{\"a\": 1}')"]) == {"a": 1}
    with pytest.raises(SystemExit, match=r"code 1(.|\n)*no such thing"):
        harness.own_process([sys.executable, "-c", "raise ValueError('no such thing')"])
