"""`irno-graph cache`: says what is kept, and deletes it."""

from typing import Any

import pytest
from typer.testing import CliRunner

from irno_graph.cli.cache import app
from irno_graph.graph import Graph
from irno_graph.spectral import EigenBasis


def test_info_tells_what_is_kept_and_clear_deletes_it(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRNO_GRAPH_CACHE", str(tmp_path))
    EigenBasis.compute(Graph.from_grid((8, 8), period=(1.0, 1.0)), 5)
    EigenBasis.compute(Graph.from_grid((8, 9), period=(1.0, 1.0)), 5)
    shown = CliRunner().invoke(app, ["info"])
    assert shown.exit_code == 0
    assert str(tmp_path / "eigenbasis") in shown.output
    assert [line.split()[1] for line in shown.output.splitlines()[1:]] == ["2", "5.8", "2.0"]
    assert "Deleted 2 files (5.8 kB)." in CliRunner().invoke(app, ["clear"]).output
    assert not list((tmp_path / "eigenbasis").iterdir())
    assert "files       0" in CliRunner().invoke(app, ["info"]).output


def test_a_limit_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRNO_GRAPH_CACHE_BYTES", "2 GB")
    result = CliRunner().invoke(app, ["info"])
    assert isinstance(result.exception, ValueError)
    assert "IRNO_GRAPH_CACHE_BYTES" in str(result.exception)
