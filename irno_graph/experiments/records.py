"""Time steps of a rollout under way, in a file that only grows: a kill can damage its last record, no other."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from irno_graph.files import atomic_path
from irno_graph.rollout import Snapshot

CHECK = 4  # bytes of the checksum that ends a record


class Records:
    """The snapshots 1, 2, ... of a rollout, in the folder `PATH.parts`; it comes with the first of them.

    `settings.json` in it says what they are of. A record that is cut off or damaged ends the file: it and what follows
    it are taken off before the next one is written.

    Args:
        path: of the file that will be made of them.
        settings: all that decides the states, as JSON holds it.
        start: u_0 `[..., nodes, channels]`, which all states are like.

    Raises:
        ValueError: if the folder is of other settings, naming what differs.
    """

    def __init__(self, path: str | os.PathLike[str], settings: Mapping[str, Any], start: Tensor) -> None:
        self.folder = parts_of(path)
        self.settings: dict[str, Any] = json.loads(json.dumps(dict(settings)))
        self.start = start
        samples = tuple(start.shape[:-2])
        self._layout = np.dtype(
            [
                ("number", "<i8"),
                ("begun", "<i8"),
                ("time", "<f8"),
                ("status", "<i8", samples),
                ("steps_taken", "<i8", samples),
                ("state", start.detach().cpu().numpy().dtype, tuple(start.shape)),
                ("check", "<u4"),
            ]
        )
        self._count = 0
        if self._described.is_file():
            other = differences(self.settings, _described_in(self._described))
            if other:
                raise ValueError(
                    f"`{self.folder}` holds a half-made rollout that differs in {', '.join(other)}: repeat the call "
                    "that began it, give another name, or overwrite it."
                )
            self._count = self._whole()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[np.void]:
        """The records in order, one in memory at once.

        Raises:
            ValueError: if one was damaged.
        """
        for number in range(1, len(self) + 1):
            yield self._record(number)

    def append(self, snapshot: Snapshot) -> None:
        """Keep the next snapshot.

        Raises:
            ValueError: if it is not the next one, is unlike the start, or another process writes to the same file.
        """
        state = snapshot.state
        if state.shape != self.start.shape or state.dtype != self.start.dtype:
            raise ValueError(
                f"the model should answer with states like the first, {self.start.dtype} {list(self.start.shape)}, got "
                f"{state.dtype} {list(state.shape)}: convert the first."
            )
        if snapshot.number != self._count + 1:
            raise ValueError(f"time step {self._count + 1} should come next, got {snapshot.number}.")
        if self._count == 0:
            with atomic_path(self._described) as temporary:
                temporary.write_text(json.dumps(self.settings, indent=1), encoding="utf-8")
            self._states.touch()
        record = np.zeros((), self._layout)
        for name in ("number", "begun", "time"):
            record[name] = getattr(snapshot, name)
        for name in ("status", "steps_taken", "state"):
            record[name] = getattr(snapshot, name).detach().cpu().numpy()
        body = record.tobytes()[:-CHECK]
        with self._states.open("r+b") as file:
            if file.seek(0, os.SEEK_END) < self._count * self._layout.itemsize:
                raise ValueError(
                    f"`{self._states}` became shorter: does another process write the same rollout?"
                )
            file.truncate(self._count * self._layout.itemsize)
            file.seek(0, os.SEEK_END)
            file.write(body + zlib.crc32(body).to_bytes(CHECK, "little"))
        self._count += 1

    def newest(self) -> Snapshot | Tensor:
        """What the rollout goes on from: its last snapshot, or the start."""
        if not len(self):
            return self.start
        record = self._record(len(self))
        begun = int(record["begun"])
        return Snapshot(
            number=len(self),
            time=float(record["time"]),
            state=self._tensor(record["state"]),
            steps_taken=self._tensor(record["steps_taken"]),
            status=self._tensor(record["status"]),
            last=self._last(len(self)),
            origin=self._last(begun),
            begun=begun,
        )

    def remove(self) -> None:
        """Delete the folder, where there is one."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _last(self, number: int) -> Tensor:
        """The state of a snapshot, with the last finite one of samples that have ended."""
        found = self._state(number)
        ended = ~torch.isfinite(found).flatten(-2).all(dim=-1)[..., None, None]
        while bool(ended.any()):
            number -= 1
            found = torch.where(ended, self._state(number), found)
            ended = ~torch.isfinite(found).flatten(-2).all(dim=-1)[..., None, None]
        return found

    def _state(self, number: int) -> Tensor:
        return self.start if number == 0 else self._tensor(self._record(number)["state"])

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.array(values)).to(self.start.device)

    def _record(self, number: int) -> np.void:
        with self._states.open("rb") as file:
            file.seek((number - 1) * self._layout.itemsize)
            found = file.read(self._layout.itemsize)
        if not self._is_sound(found, number):
            raise ValueError(f"`{self._states}` was damaged at time step {number}: repeat the call.")
        return np.frombuffer(found, self._layout)[0]

    def _is_sound(self, found: bytes, number: int) -> bool:
        if len(found) != self._layout.itemsize or int(np.frombuffer(found, "<i8", 1)[0]) != number:
            return False
        return zlib.crc32(found[:-CHECK]) == int.from_bytes(found[-CHECK:], "little")

    def _whole(self) -> int:
        """How many records from the first on are sound."""
        count = 0
        if self._states.is_file():
            with self._states.open("rb") as file:
                while self._is_sound(file.read(self._layout.itemsize), count + 1):
                    count += 1
        return count

    @property
    def _described(self) -> Path:
        return self.folder / "settings.json"

    @property
    def _states(self) -> Path:
        return self.folder / "states"


def parts_of(path: str | os.PathLike[str]) -> Path:
    """The folder that a file is made of."""
    target = Path(path)
    return target.with_name(f"{target.name}.parts")


def _described_in(file: Path) -> dict[str, Any]:
    """The settings in a file; none where it was damaged."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Names of settings that differ, or that one of them lacks.

    >>> differences({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4})
    ['b', 'c']
    """
    missing = object()
    return sorted(name for name in {**ours, **theirs} if ours.get(name, missing) != theirs.get(name, missing))
