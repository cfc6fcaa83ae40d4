"""A rank that trains on a batch: `one_share.py RANK RANKS STORE OUT`; writes how far its gradients are off."""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from shared_tasks import TASKS, made_part
from torch import Tensor

from irno_graph.training.pairs import Task


def gradients(task, batch: Task) -> list[Tensor]:
    task.log = task.log_dict = lambda *_: None
    task.zero_grad(set_to_none=True)
    task.training_step(batch, 0).backward()
    return [own.grad.clone() for own in task.parameters() if own.grad is not None]


def main(rank: str, ranks: str, store: str, out: str) -> None:
    torch.set_num_threads(1)
    found, part, batch = {}, made_part(), Task(0, torch.arange(12).flip(0)[:5], 11)
    tasks, whole = {}, {}
    for make in TASKS:
        torch.manual_seed(1)
        tasks[make.__name__] = make(part)
        whole[make.__name__] = gradients(tasks[make.__name__], batch)  # alone: of the whole batch
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=int(rank), world_size=int(ranks))
    for name, task in tasks.items():
        own = gradients(task, batch)
        apart = max(float((one - other).abs().max()) for one, other in zip(own, whole[name], strict=True))
        for grad in own:
            dist.all_reduce(grad)
        mean = max(
            float((grad / int(ranks) - expected).abs().max() / (expected.abs().max() + 1e-3))
            for grad, expected in zip(own, whole[name], strict=True)
        )
        found[name] = {"alone": apart, "mean": mean}
    Path(out).write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
