"""Checkpoint files: everything comes back bit by bit, damage is named, a write that fails leaves what was there."""

import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from irno_graph.training import checkpoints
from irno_graph.training.checkpoints import (
    CheckpointError,
    SafeCheckpoints,
    describe_checkpoint,
    read_checkpoint,
    write_checkpoint,
)

DTYPES = (
    *(torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.complex64, torch.complex128),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.bool),
)


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    """Of any bits, contiguous or not, with no entries too."""
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    dtype = draw(st.sampled_from(DTYPES))
    count = int(torch.tensor(shape).prod()) * dtype.itemsize
    data = draw(st.binary(min_size=count, max_size=count))
    if dtype == torch.bool:
        data = bytes(byte & 1 for byte in data)
    if not count:
        return torch.empty(shape, dtype=dtype)
    value = torch.frombuffer(bytearray(data), dtype=dtype).reshape(shape)
    return value.mT if len(shape) > 1 and draw(st.booleans()) else value


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(exclude_categories=()))
)
KEYS = st.one_of(st.text(), st.integers(), st.tuples(st.integers(), st.text()))
TREES = st.recursive(
    SCALARS | tensors(),
    lambda own: st.one_of(
        st.lists(own, max_size=4),
        st.lists(own, max_size=4).map(tuple),
        st.dictionaries(KEYS, own, max_size=4),
    ),
    max_leaves=12,
)


def assert_same(a: Any, b: Any) -> None:
    """One type, one shape, the same bits."""
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        assert (
            a.contiguous().view(-1).view(torch.uint8).tolist()
            == b.contiguous().view(-1).view(torch.uint8).tolist()
        )
    elif isinstance(a, float):
        assert struct.pack(">d", a) == struct.pack(">d", b)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key, other in zip(a, b, strict=True):
            assert_same(key, other)
            assert_same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_same(one, other)
    else:
        assert a == b


@given(content=st.dictionaries(KEYS, TREES, max_size=4))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_written_is_read_bit_by_bit(tmp_path, content):
    write_checkpoint(tmp_path / "any.ckpt", content)
    assert_same(content, read_checkpoint(tmp_path / "any.ckpt"))


def test_an_optimiser_goes_through(tmp_path):
    """States with integer keys, tuples, None and tensors of no dimension, and a tensor that occurs twice."""
    net = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
    net(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    content = {"optimizer": optimizer.state_dict(), "a": dict(net.state_dict()), "b": dict(net.state_dict())}
    path = write_checkpoint(tmp_path / "x.ckpt", content)
    found = read_checkpoint(path)
    assert_same({**content, "optimizer": 0}, {**found, "optimizer": 0})
    other = torch.optim.AdamW(net.parameters(), lr=0.1)
    other.load_state_dict(found["optimizer"])
    assert_same(other.state_dict(), optimizer.state_dict())


def test_a_checkpoint_says_what_it_is(tmp_path):
    plugin = SafeCheckpoints({"settings": {"seed": 3}, "commit": "abc"})
    plugin.save_checkpoint({"epoch": 1}, tmp_path / "x.ckpt")
    found = describe_checkpoint(tmp_path / "x.ckpt")
    assert found["about"] == {"settings": {"seed": 3}, "commit": "abc"}
    assert found["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert found["format"] == 1
    assert plugin.load_checkpoint(tmp_path / "x.ckpt") == {"epoch": 1}
    plugin.remove_checkpoint(tmp_path / "x.ckpt")
    assert not list(tmp_path.iterdir())


def example(path: Path) -> bytes:
    write_checkpoint(path, {"step": 7, "nested": [{"weights": torch.arange(6.0)}, 0.5]})
    return path.read_bytes()


def test_a_file_that_was_cut_is_refused_wherever_it_was(tmp_path):
    path = tmp_path / "cut.ckpt"
    data = example(path)
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=r"cut\.ckpt"):
            read_checkpoint(path)


def test_a_changed_bit_is_seen_or_changes_nothing(tmp_path):
    path = tmp_path / "flip.ckpt"
    data, unseen = example(path), []
    expected = read_checkpoint(path)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        try:
            assert_same(read_checkpoint(path), expected)
            unseen.append(place)
        except CheckpointError:
            pass
    assert max(unseen) < len(data) - 6 * 4  # no number's
    assert len(unseen) < len(data) // 3


def test_foreign_files_are_refused_and_nothing_is_executed(tmp_path):
    path = tmp_path / "foreign.ckpt"

    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "executed",)

    torch.save({"state_dict": Trap()}, path)
    with pytest.raises(CheckpointError, match=r"foreign\.ckpt"):
        read_checkpoint(path)
    assert not (tmp_path / "executed").exists()
    for metadata in (
        {},
        {checkpoints.HEADER: "[1"},
        {checkpoints.HEADER: "[1]"},
        {checkpoints.HEADER: '{"format": 1}'},
    ):
        save_file({"a": torch.ones(2)}, path, metadata=metadata)
        with pytest.raises(CheckpointError, match=r"foreign\.ckpt"):
            read_checkpoint(path)
    with pytest.raises(ValueError, match="nothing"):
        read_checkpoint(tmp_path / "none.ckpt")


def test_a_write_that_breaks_off_leaves_the_file_before_it(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    data = example(path)

    def half(tensors, file, metadata):
        Path(file).write_bytes(data[: len(data) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "save_file", half)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(path, {"step": 8})
    assert path.read_bytes() == data
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", object(), torch.ones(2).to_sparse()])
def test_what_cannot_be_kept_is_named_with_its_place(tmp_path, value):
    with pytest.raises(CheckpointError, match="/callbacks/1"):
        write_checkpoint(tmp_path / "x.ckpt", {"callbacks": [None, value]})
    assert not list(tmp_path.iterdir())
