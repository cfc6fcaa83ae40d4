"""Keep what a module computed from its weights and from something fixed, as long as neither changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor, nn

from irno_graph.nn.modes import is_eager

T = TypeVar("T")
Entry = tuple[ref, tuple[object, ...], object, Sequence[Tensor]]
_KEPT: WeakKeyDictionary[nn.Module, dict[int, Entry]] = WeakKeyDictionary()


def remembered(
    module: nn.Module, source: Any, weights: Sequence[Tensor], option: object, build: Callable[[], T]
) -> T:
    """`build()`, or what it returned for the same `module`, `source`, `weights` and `option` before.

    Nothing is kept where gradients are wanted, under autocast, in a compiled graph or a transformed function. It is
    forgotten with `module` or `source`, and when one of `weights` is written to.
    """
    if torch.is_grad_enabled() or not is_eager(weights[0].device.type):
        return build()
    if any(weight.is_inference() for weight in weights):  # their versions are not counted
        return build()
    stamp = (option, *((weight.data_ptr(), weight._version, weight.dtype) for weight in weights))
    entries, number = _KEPT.setdefault(module, {}), id(source)
    found = entries.get(number)
    if found is None or found[0]() is not source or found[1] != stamp:
        gone = ref(source, lambda _: entries.pop(number, None))
        found = entries[number] = (gone, stamp, build(), weights)  # held: no other takes their address
    return found[2]  # type: ignore[return-value]
