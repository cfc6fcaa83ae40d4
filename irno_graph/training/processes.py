"""Several processes that train one model: who they are, who writes, and which samples of a batch each one has."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed
from torch import Tensor

PATIENCE = timedelta(days=2)  # with a process that makes data, or saves


def rank_and_size() -> tuple[int, int]:
    """Number of this process, and of how many; (0, 1) outside of a group."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def world() -> torch.distributed.ProcessGroup | None:
    """The group of all processes, None for one alone."""
    return torch.distributed.group.WORLD if rank_and_size()[1] > 1 else None


def join_processes(device: str) -> str:
    """Meet the processes that `torchrun` started, if it did, and return this one's device.

    The group is gloo's on the CPU, nccl's on GPUs. All but the first process are silent from then on.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "RANK" not in os.environ:
        return device
    on_gpu = device.startswith("cuda")
    if on_gpu:
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=PATIENCE)
        atexit.register(_leave)
        if rank_and_size()[0] > 0:
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    return device


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def local_size() -> int:
    """Number of processes on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", rank_and_size()[1]))


@contextmanager
def first_process_first() -> Iterator[bool]:
    """The body runs in process 0, then in the others; gives whether this is process 0."""
    rank, size = rank_and_size()
    if rank > 0:
        torch.distributed.barrier()
    yield rank == 0
    if rank == 0 and size > 1:
        torch.distributed.barrier()


@dataclass(frozen=True)
class Share:
    """The samples rank, rank + size, rank + 2 size, ... of a batch, which process `rank` of `size` has."""

    rank: int = 0
    size: int = 1

    @staticmethod
    def own() -> Share:
        """Of this process."""
        return Share(*rank_and_size())

    def of(self, batch: Tensor) -> Tensor:
        """Its part along the first axis."""
        return batch[self.rank :: self.size]

    def alone(self, phi: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """A function of the whole batch that is `phi` of this part, and 0 elsewhere."""
        if self.size == 1:
            return phi

        def of_whole(batch: Tensor) -> Tensor:
            rows = torch.arange(self.rank, len(batch), self.size, device=batch.device)
            return torch.zeros_like(batch).index_copy(
                0, rows, phi(batch.index_select(0, rows)).to(batch.dtype)
            )

        return of_whole

    def count(self, total: int) -> int:
        """How many of the first `total` samples are in it."""
        return len(range(self.rank, total, self.size))

    def weight(self, total: int) -> float:
        """Factor on a mean over this part, so that the mean over all processes is that over `total` samples."""
        return self.size * self.count(total) / total


WHOLE = Share()
