"""Files of eigenbases: prefixes, settings, no loss of modes, a bounded size, several processes."""

import multiprocessing
import os

import numpy as np
import pytest
import torch

from irno_graph.graph import Graph
from irno_graph.spectral import EigenBasis
from irno_graph.spectral.store import Modes, Slot, cache_files, load_modes, save_modes


def compute_many(directory, orders):
    graph = Graph.from_grid((8, 9), period=(1.0, 1.0))
    for modes in orders:
        assert len(EigenBasis.compute(graph, modes, cache=directory).eigenvalues) == modes


def made(count, nodes=50, seed=0):
    rng = np.random.default_rng(seed)
    return Modes(np.arange(float(count)), rng.standard_normal((nodes, count)), np.zeros(count))


def held(directory):
    return sorted(path.name for path, _ in cache_files(directory))


def test_a_file_with_more_modes_is_never_replaced_by_one_with_fewer(tmp_path):
    slot = Slot(tmp_path, "name")
    for count, left in ((5, 5), (9, 9), (3, 9)):
        save_modes(slot, made(count))
        assert held(tmp_path) == [f"name-{left}.modes"]
    found = load_modes(slot, 50, 4)
    assert found is not None
    assert np.array_equal(found.vectors, made(9).vectors[:, :4])
    assert load_modes(slot, 50, 10) is None


def test_the_least_recently_used_files_go_first(tmp_path, monkeypatch):
    size = 8 * 50 * 5
    monkeypatch.setenv("IRNO_GRAPH_CACHE_BYTES", str(int(3.5 * size)))
    for number, name in enumerate("abc"):
        save_modes(Slot(tmp_path, name), made(5))
        os.utime(tmp_path / f"{name}-5.modes", (number, number))
    assert load_modes(Slot(tmp_path, "a"), 50, 5) is not None  # used: now b is the oldest
    save_modes(Slot(tmp_path, "d"), made(5))
    assert held(tmp_path) == ["a-5.modes", "c-5.modes", "d-5.modes"]
    save_modes(Slot(tmp_path, "e"), made(20))  # larger than the limit: not kept
    assert held(tmp_path) == ["a-5.modes", "c-5.modes", "d-5.modes"]


def test_any_changed_byte_is_noticed_and_the_file_is_dropped(tmp_path):
    slot = Slot(tmp_path, "name")
    save_modes(slot, made(3, nodes=4))
    data = (tmp_path / "name-3.modes").read_bytes()
    for place in range(len(data)):
        harmed = bytearray(data)
        harmed[place] ^= 1
        (tmp_path / "name-3.modes").write_bytes(harmed)
        assert load_modes(slot, 4, 3) is None
        assert held(tmp_path) == []


def test_settings_have_files_of_their_own(box, tmp_path):
    mask = torch.zeros(150, dtype=torch.bool)
    plain = EigenBasis.compute(box, 5, cache=tmp_path)
    mask[:10] = True
    fixed = EigenBasis.compute(box, 5, dirichlet=mask, cache=tmp_path)
    assert len(held(tmp_path)) == 2
    assert fixed.eigenvalues[0] > plain.eigenvalues[0]
    again = EigenBasis.compute(box, 5, dirichlet=mask, cache=tmp_path)
    assert torch.equal(again.vectors, fixed.vectors)
    assert again.residuals is not None
    assert fixed.residuals is not None
    assert torch.equal(again.residuals, fixed.residuals)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process")
def test_several_processes_at_once_leave_one_whole_file(tmp_path):
    context = multiprocessing.get_context("fork")
    orders = ([4, 20, 6] * 5, [12, 3, 20, 4] * 5, [20, 7] * 5, [1, 2, 5, 20])
    running = [context.Process(target=compute_many, args=(tmp_path, own)) for own in orders]
    for process in running:
        process.start()
    for process in running:
        process.join(timeout=60)
    assert [process.exitcode for process in running] == [0] * 4
    (path,) = tmp_path.iterdir()
    assert path.name.endswith("-20.modes")
    graph = Graph.from_grid((8, 9), period=(1.0, 1.0))
    expected = EigenBasis.compute(graph, 20, cache=False)
    assert torch.equal(EigenBasis.compute(graph, 20, cache=tmp_path).vectors, expected.vectors)


def test_a_limit_that_is_no_number_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("IRNO_GRAPH_CACHE_BYTES", "lots")
    with pytest.raises(ValueError, match="IRNO_GRAPH_CACHE_BYTES"):
        save_modes(Slot(tmp_path, "name"), made(2))
