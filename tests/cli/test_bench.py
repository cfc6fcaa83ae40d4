"""`irno-graph bench`: lists the benchmarks of a checkout, and runs one as its script would run."""

import json
import sys
from pathlib import Path

import pytest

from irno_graph.cli import bench, run

FOLDER = Path(__file__).parents[2] / "benchmarks"
TINY = '''"""What it does.

More of it.
"""

import sys

if __name__ == "__main__":
    print(sys.argv[1:], sys.executable)
    sys.exit(3)
'''


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory beside a package that came without benchmarks."""
    monkeypatch.setattr(
        bench, "__file__", str(tmp_path / "site-packages" / "irno_graph" / "cli" / "bench.py")
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_a_name_every_script_is_listed_with_what_it_measures(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["bench"]) == 0
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    scripts = {path.stem for path in FOLDER.glob("*.py") if "__main__" in path.read_text()}
    assert set(shown) == scripts
    assert "harness" not in shown
    assert (
        shown["correctors"]
        == "Time and memory of correctors, against the standard block with a state on every edge."
    )


def test_an_unknown_name_is_one_line_that_names_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "corrector"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "'corrector'" in line
    assert all(name in line for name in ("correctors", "meshes", "rigno", "spectra"))


def test_without_a_checkout_one_line_says_so(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "meshes"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "come with a checkout" in line


def test_arguments_output_and_exit_code_pass_through(
    elsewhere: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = elsewhere / "benchmarks"
    folder.mkdir()
    (folder / "harness.py").write_text('"""Shared."""\n')
    (folder / "tiny.py").write_text(TINY)
    assert run(["bench"]) == 0
    assert capfd.readouterr().out.split(maxsplit=1) == ["tiny", "What it does.\n"]
    assert run(["bench", "tiny", "--help", "-n", "4", "x y"]) == 3
    assert capfd.readouterr().out == f"{['--help', '-n', '4', 'x y']} {sys.executable}\n"


@pytest.mark.slow
def test_the_correctors_benchmark_measures_once_and_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out, kinds = tmp_path / "found.json", ["standard", "pieces", "plain", "standard_bf16", "plain_bf16"]
    command = ["bench", "correctors", "--quick", "--budget", "0", "--out", str(out), "--kinds", *kinds]
    command += ["--unrolled-nodes", "64", "--refine-nodes", "64", "--meshes", str(tmp_path)]
    command += ["--widths", "8", "--batches", "1", "2", "--nodes", "64"]
    assert run(command) == 0
    first = json.loads(out.read_text())
    assert first["machine"]["cores"] >= 1
    assert first["versions"]["irno-graph"]
    names = ["layer 64 8 1", "layer 64 8 2", "unrolled", "refine flat", "refine multiscale", "hierarchy 64"]
    assert set(first["cases"]) == set(names)
    for which in ("forward", "train"):
        found = first["cases"]["layer 64 8 2"][which]
        assert list(found["seconds"]) == list(found["mib"]) == kinds
        assert all(value > 0 for value in found["seconds"].values())
    assert "| 64 | 8 | 2 |" in capfd.readouterr().out
    assert run([*command, "128", "--parts", "hierarchy"]) == 0
    second = json.loads(out.read_text())
    assert second["cases"].pop("hierarchy 128")["levels"] >= first["cases"]["hierarchy 64"]["levels"]
    assert second == first
    capfd.readouterr()
    assert run(["bench", "correctors", "--out", str(out), "--markdown"]) == 0
    assert "ours, plain, bf16" in capfd.readouterr().out
    assert run([*command, "--threads", "2"]) == 1  # other settings, other figures
    assert "--fresh" in capfd.readouterr().err
