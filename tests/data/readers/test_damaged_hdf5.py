"""HDF5 files whose headers make the library spin, die or fill the memory: refused by name, and soon."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from irno_graph.child import Child
from irno_graph.data.readers import hdf5, open_data, probe


@pytest.fixture(autouse=True)
def nothing_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "_sound", set())


def write_rigno(path: Path) -> Path:
    """RIGNO's layout with an attribute of variable length, whose words lie in a global heap."""
    with h5py.File(path, "w") as file:
        file["u"] = np.arange(24.0, dtype=np.float32).reshape(1, 2, 6, 2)
        file["x"] = np.random.default_rng(0).random((1, 1, 6, 2)).astype(np.float32)
        file["u"].attrs["names"] = ["density", "pressure"]
    return path


def endless(path: Path) -> Path:
    """The same file with free space of size 0 in its heap: libhdf5 goes on to the next entry, which is that one."""
    content = bytearray(path.read_bytes())
    entry = content.index(b"GCOL") + 16
    while True:
        index, size = struct.unpack_from("<H6xQ", content, entry)
        if index == 0:
            break
        entry += 16 + (size + 7) // 8 * 8
    struct.pack_into("<Q", content, entry + 8, 0)
    path.write_bytes(content)
    return path


def worker(folder: Path, body: str) -> Child:
    (folder / "worker.py").write_text(f"import os, time\ndef walk(path):\n    {body}\n")
    return Child(folder / "worker.py", "walk")


def test_a_heap_that_never_ends_is_refused_within_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound, damaged = write_rigno(tmp_path / "sound.nc"), endless(write_rigno(tmp_path / "damaged.nc"))
    open_data(sound)
    monkeypatch.setattr(hdf5, "PROBE_SECONDS", 0.5)
    start = time.monotonic()
    with pytest.raises(ValueError, match=r"damaged.nc. should be a sound.*not read within 0\.5 s"):
        open_data(damaged)
    assert time.monotonic() - start < 15
    monkeypatch.undo()
    with hdf5.opened(sound) as file:  # another process answers for the next file
        assert hdf5.words(file["u"].attrs["names"]) == ("density", "pressure")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("os._exit(3)", "end the process"),
        ("os.abort()", "end the process"),
        ("time.sleep(60)", "not read within 1 s"),
        ("bytearray(2**40)", "more memory"),
    ],
)
def test_what_goes_wrong_in_the_other_process_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, why: str
) -> None:
    child = worker(tmp_path, body)
    monkeypatch.setattr(hdf5, "_child", child)
    monkeypatch.setattr(hdf5, "PROBE_SECONDS", 1.0 if "sleep" in body else 20.0)
    with pytest.raises(ValueError, match=f"a.nc.*{why}.*fetch it again"):
        open_data(write_rigno(tmp_path / "a.nc"))
    child.close()


def test_an_attribute_larger_than_the_memory_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file.attrs["large"] = np.zeros(2**20)
    child = Child(probe.__file__, "walk", imports=("h5py",))
    assert child.ask(str(tmp_path / "a.h5"), seconds=20, memory=2**30) == 1
    with pytest.raises(hdf5.FailedError, match="MemoryError"):
        child.ask(str(tmp_path / "a.h5"), seconds=20, memory=2**20)
    child.close()


def test_a_file_is_looked_into_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = worker(tmp_path, f"open({str(tmp_path / 'log')!r}, 'a').write('+')")
    monkeypatch.setattr(hdf5, "_child", child)
    path = write_rigno(tmp_path / "a.nc")
    for _ in range(3):
        with hdf5.opened(path):
            pass
    assert (tmp_path / "log").read_text() == "+"
    os.utime(path, ns=(0, 10**9))
    hdf5.probed(path)
    hdf5.probed(path)
    assert (tmp_path / "log").read_text() == "++"
    child.close()


def test_the_walk_sees_every_object_once_and_damage_of_one_does_not_stop_it(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_group("a/b")["c"] = np.arange(3)
        file["a/again"] = file["a"]  # a cycle
        file["a/soft"] = h5py.SoftLink("/a/b/c")
        file["nowhere"] = h5py.SoftLink("/nothing")
        file["outside"] = h5py.ExternalLink("missing.h5", "/")
        file["kind"] = np.dtype("f4")  # neither group nor dataset
    assert probe.walk(str(tmp_path / "a.h5")) == 4  # the root, a, b and c
    content = (tmp_path / "a.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(content[:500])
    assert probe.walk(str(tmp_path / "cut.h5")) == 0


def test_flipped_bits_end_in_an_answer(tmp_path: Path) -> None:
    content = write_rigno(tmp_path / "a.nc").read_bytes()
    generator = np.random.default_rng(0)
    child = Child(probe.__file__, "walk", imports=("h5py",))
    for place in generator.choice(len(content), 100, replace=False):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(generator.integers(8))
        (tmp_path / "b.nc").write_bytes(damaged)
        try:
            child.ask(str(tmp_path / "b.nc"), seconds=1, memory=2**30)
        except (hdf5.LateError, hdf5.CrashError, hdf5.FailedError):
            continue
    child.close()
