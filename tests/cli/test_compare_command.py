"""`irno-graph compare`: one line and exit code 2 for bad arguments, before anything is trained."""

import json
from pathlib import Path
from typing import Any

import pytest

from irno_graph.cli import run

CONFIG = """\
name: {name}
title: ""
problem:
  kind: darcy
  train: {{path: train.pt, count: 2}}
  valid: {{path: train.pt, first: 2, count: 1}}
  tests: {{near: {{path: test.pt}}}}
bases: {{fno: {{modes: 4}}}}
correctors: {{unet: {{}}}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "toy.yaml").write_text(CONFIG.format(name="toy"))
    return tmp_path / "toy.yaml"


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert run(["compare", *map(str, arguments)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nowhere.yaml" in refusal(capsys, tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("change", ["corrector.colour=red", "corrector.steps=0", "bases.cnn={}"])
def test_a_bad_key_is_named(config: Path, change: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert change.partition("=")[0].partition(".")[0] in refusal(capsys, config, "--set", change)


def test_a_bad_key_in_the_file_is_named(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(config.read_text() + "colour: red\n")
    assert "colour" in refusal(capsys, config)


def test_other_bad_arguments_are_refused_before_data_are_read(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr("irno_graph.experiments.compare.run_compare", fail)
    assert "--workers" in refusal(capsys, config, "--workers", "0")
    assert "--out" in refusal(capsys, config, "--out", config.with_name("out.json"))
    assert "toy, toy" in refusal(capsys, config, config)
    assert not list(config.parent.glob("out*"))


def test_every_config_is_run_with_the_changes_and_all_is_written(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int, int]] = []

    def compared(config: Any, *, workers: int, progress: Any, report: Any) -> dict[str, Any]:
        progress(1, 1)
        report("data are made [now]")
        seen.append((config.name, config.corrector.steps, workers))
        return {"config": {"name": config.name}}

    def report(results: list[dict[str, Any]], path: Path) -> list[Path]:
        path.write_text("\n".join(own["command"] for own in results))
        return [path.with_suffix(".png")]

    monkeypatch.setattr("irno_graph.experiments.compare.run_compare", compared)
    monkeypatch.setattr("irno_graph.report.compare_report.write_compare_report", report)
    second = config.with_name("second.yaml")
    second.write_text(CONFIG.format(name="second"))
    out = config.parent / "results" / "out.md"
    arguments = ["--workers", "2", "--set", "corrector.steps=6", "--out", str(out)]
    assert run(["compare", str(config), str(second), *arguments]) == 0
    assert seen == [("toy", 6, 2), ("second", 6, 2)]
    command = "irno-graph compare {} --set corrector.steps=6"
    assert json.loads(out.with_suffix(".json").read_text()) == {
        name: {"command": command.format(config.with_name(f"{name}.yaml")), "config": {"name": name}}
        for name in ("second", "toy")
    }
    shown = capsys.readouterr()
    assert "data are made [now]" in shown.out
    assert "out.png" in shown.out.replace("\n", "")
    assert shown.err == ""
    assert run(["compare", str(second), "--set", "corrector.steps=7", "--out", str(out)]) == 0
    new, kept = out.read_text().splitlines()
    assert new.endswith("second.yaml --set corrector.steps=7")
    assert kept.endswith("toy.yaml --set corrector.steps=6")


@pytest.mark.parametrize(
    "text", ["{", "[]", "3", '{"toy": {}}', '{"toy": {"config": {"name": "else"}, "command": "a"}}']
)
def test_a_file_of_something_else_is_not_written_over(
    config: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = config.with_name("out.md")
    out.with_suffix(".json").write_text(text)
    assert "out.json" in refusal(capsys, config, "--out", out)
    assert out.with_suffix(".json").read_text() == text
    assert not out.exists()
