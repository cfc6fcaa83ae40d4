"""Reading in bounds: late, greedy and crashing readers become a MeshError, and the next file is read."""

import os
import pickle

import numpy as np
import pytest

from irno_graph.mesh import Mesh, MeshError, read_mesh, reader, write_mesh


@pytest.fixture
def square(tmp_path):
    mesh = Mesh([[0, 0], [1, 0], [1, 1], [0, 1.0]], [("triangle", [[0, 1, 2], [0, 2, 3]])])
    write_mesh(tmp_path / "square.vtu", mesh)
    return tmp_path / "square.vtu"


def test_both_ways_of_reading_agree(square):
    one, two = read_mesh(square), read_mesh(square, isolated=False)
    assert np.array_equal(one.points, two.points)
    assert np.array_equal(one.cells_of("triangle"), two.cells_of("triangle"))


def test_a_late_reader_is_killed_and_the_next_file_is_read(square, tmp_path):
    # meshio's reader of Tecplot asks for the missing rows for ever
    write_mesh(tmp_path / "endless.dat", Mesh(np.eye(4, 3), [("triangle", [[0, 1, 2], [1, 2, 3]])]))
    lines = (tmp_path / "endless.dat").read_text().splitlines()
    (tmp_path / "endless.dat").write_text("\n".join(lines[:5]))
    with pytest.raises(MeshError, match=r"more than 0\.3 s \(raise `time_limit`\)"):
        read_mesh(tmp_path / "endless.dat", time_limit=0.3)
    assert len(read_mesh(square).points) == 4


def test_a_reader_that_dies_is_replaced(square):
    read_mesh(square)
    first = reader._child.process
    assert first is not None
    first.kill()
    first.wait()
    assert len(read_mesh(square).points) == 4
    assert reader._child.process is not first


def test_one_process_reads_many_files(square):
    read_mesh(square)
    first = reader._child.process
    read_mesh(square)
    assert reader._child.process is first


def test_an_answer_cut_off_is_a_crash(square, monkeypatch):
    def cut_off(stream):
        raise EOFError

    reader._child.close()
    with monkeypatch.context() as patch:
        reader._child._running()
        patch.setattr(pickle, "load", cut_off)
        with pytest.raises(MeshError, match="the reader crashed"):
            read_mesh(square)
    assert len(read_mesh(square).points) == 4


def test_memory_is_in_proportion_to_the_file(square, tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "START_BYTES", 2**26)
    count = 10_000_000
    text = f"3 {count} 0 0 0\n" + "1 0 0 0\n"
    (tmp_path / "greedy.avs").write_text(text)
    with pytest.raises(MeshError):
        read_mesh(tmp_path / "greedy.avs")
    with pytest.raises(MeshError, match="more memory"):
        reader.read_bounded(_greedy(tmp_path))
    assert len(read_mesh(square).points) == 4


def _greedy(folder):
    path = folder / "greedy.msh"
    path.write_text("$MeshFormat\n4.1 0 8\n$EndMeshFormat\n$Nodes\n1 1000000000 1 1000000000\n")
    return path


@pytest.mark.parametrize("limit", [0, -1.0, float("nan")])
def test_a_time_limit_is_positive(square, limit):
    with pytest.raises(MeshError, match="time_limit"):
        read_mesh(square, time_limit=limit)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:This process")
def test_a_forked_process_has_a_reader_of_its_own(square):
    read_mesh(square)
    child = os.fork()
    if child == 0:
        fine = reader._child.process is None and len(read_mesh(square).points) == 4
        reader._child.close()
        os._exit(0 if fine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(read_mesh(square).points) == 4
