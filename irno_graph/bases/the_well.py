"""Trained models of The Well as bases: their folders on disk, fetched from the Hugging Face hub at a fixed commit."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from irno_graph.bases.grid import GridBase
from irno_graph.bases.hub_client import hub_client
from irno_graph.bases.neuralop import FNO, TFNO, FourierDetails
from irno_graph.files import existing_file
from irno_graph.graph import Graph
from irno_graph.graph.grid_fields import single_shape

WEIGHTS = "model.safetensors"
PICKLES = ("pytorch_model.bin", "model.pt", "recent.pt", "best.pt")
Weights = dict[str, Tensor]


def fetch_the_well(
    repository: str,
    *,
    revision: str,
    cache: str | os.PathLike[str] | None = None,
    offline: bool = False,
) -> Path:
    """The folder of a model of The Well, such as "polymathic-ai/FNO-active_matter", as it was at one commit.

    Only `config.json` and `model.safetensors` are fetched.

    Args:
        repository: on the Hugging Face hub.
        revision: the whole hash of a commit (40 digits), which a branch or a tag is not: what it names cannot change.
        cache: a directory for the files; by default that of huggingface_hub.
        offline: take what the cache has, ask no server.

    Raises:
        ImportError: without huggingface_hub (extra `hub`).
        ValueError: if `revision` is no hash of a commit.
    """
    if re.fullmatch(r"[0-9a-f]{40}", revision) is None:
        raise ValueError(
            f"`revision` should be the hash of a commit, 40 hexadecimal digits, got '{revision}': take it from the "
            "history of the repository's files."
        )
    folder = hub_client("fetching a model").snapshot_download(
        repository,
        revision=revision,
        cache_dir=cache,
        local_files_only=offline,
        allow_patterns=["config.json", WEIGHTS],
    )
    return Path(folder)


def load_the_well(
    folder: str | os.PathLike[str],
    graph: Graph,
    *,
    build: Callable[[dict[str, Any]], nn.Module] | None = None,
    turned: bool = True,
    allow_pickle: bool = False,
) -> nn.Module:
    """A base from a folder with `config.json` and `model.safetensors`; no network is asked.

    Without `build` it is an `FNO` or a `TFNO`, whichever the weights are of, at any resolution: models trained with
    neuraloperator 0.3, as those of The Well, are rewritten for version 2. They answer in standardised units, those that
    they were trained in, and take several frames as channels, all fields of the first frame first; `Standardised` gives
    them physical units.

    Args:
        folder: of the model, from `fetch_the_well` for one.
        graph: a grid of `Graph.from_grid`.
        build: makes another architecture from the config; its parameters have the names of the file, and it maps
            `[batch, channels, *grid]` at the graph's shape. It gives a `GridBase`.
        turned: whether the model sees x first, as The Well's files have their axes, on the graph's (ny, nx).
        allow_pickle: where there is no `model.safetensors`, read `pytorch_model.bin`, `model.pt`, `recent.pt` or
            `best.pt`, weights only.

    Raises:
        ImportError: without neuraloperator, unless there is a `build`.
        ValueError: if a file is missing or damaged, or weights, config and graph do not fit each other.
    """
    config, weights = read_the_well(folder, allow_pickle=allow_pickle)
    dim = len(single_shape(graph))
    if build is not None:
        model = build(config)
        _fill(model, weights, folder)
        return GridBase(Turned(model) if turned else model, graph)
    if config.get("n_spatial_dims", dim) != dim:
        raise ValueError(
            f"`graph` should be a grid in {config['n_spatial_dims']} dimensions, as the model in {folder}, got {dim}."
        )
    named = {name.removeprefix("model."): value for name, value in weights.items()}
    current = _renamed(named)
    try:
        base = _operator(config, current, graph, turned)
    except KeyError as error:
        raise ValueError(
            f"{folder} should hold an FNO or a TFNO of The Well, got no {error}: pass `build` for its architecture."
        ) from error
    _fill(base.network, current, folder)
    return base.eval()


def read_the_well(
    folder: str | os.PathLike[str], *, allow_pickle: bool = False
) -> tuple[dict[str, Any], Weights]:
    """The config and the weights, by name, in a folder; see `load_the_well`.

    Raises:
        ValueError: if a file is missing or damaged.
    """
    place = Path(folder)
    text = existing_file(place / "config.json").read_text()
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{place / 'config.json'} should be JSON, got: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{place / 'config.json'} should hold names and values, got {config!r:.80}.")
    path = place / WEIGHTS
    if path.is_file():
        try:
            return config, load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path} should be a safetensors file, got: {error}") from error
    pickles = [place / name for name in PICKLES if (place / name).is_file()]
    if not pickles:
        raise ValueError(
            f"{place} should hold {WEIGHTS}, got {sorted(file.name for file in place.iterdir())}."
        )
    if not allow_pickle:
        raise ValueError(
            f"{place} holds {pickles[0].name} and no {WEIGHTS}: a pickle is read with `allow_pickle=True` only."
        )
    found = torch.load(pickles[0], map_location="cpu", weights_only=True)
    state = found.get("model_state_dict", found)  # a checkpoint of The Well's training holds more
    return config, {name: value for name, value in state.items() if isinstance(value, Tensor)}


class Turned(nn.Module):
    """A module that sees the axes of the grid in the opposite order.

    Args:
        model: of `[batch, channels, *grid]`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, values: Tensor) -> Tensor:
        """The module's value `[batch, channels, *grid]`."""
        axes = tuple(range(2, values.ndim))
        return self.model(values.movedim(axes, axes[::-1])).movedim(axes, axes[::-1])


def _operator(config: dict[str, Any], weights: Weights, graph: Graph, turned: bool) -> FNO:
    """The operator with the sizes that config and weights have."""
    dim = len(single_shape(graph))
    layers = len({name.split(".")[2] for name in weights if name.startswith("fno_blocks.convs.")})
    first = weights["lifting.fcs.0.weight"]  # [lifting, in_channels, 1]
    details = FourierDetails(
        positions=first.shape[1] > config["dim_in"],
        lifting=len(first),
        mixing=any(".channel_mlp." in name for name in weights),
        padding=0.0,
        turned=turned,
    )
    modes = tuple(config[f"modes{axis + 1}"] for axis in range(dim))
    sizes = {"modes": modes, "hidden": config["hidden_channels"], "layers": layers, "details": details}
    channels = config["dim_in"], config["dim_out"]
    if any(name.endswith(".core") for name in weights):
        return TFNO(*channels, graph, rank=1.0, **sizes)
    return FNO(*channels, graph, **sizes)


def _renamed(weights: Weights) -> Weights:
    """Names and shapes of neuraloperator 0.3 as version 2 has them; those of version 2 stay.

    One convolution with all layers' weights became one per layer, pairs of real numbers became complex ones, and
    pointwise layers `[out, in, 1, 1]` became `[out, in, 1]`.
    """
    found: Weights = {}
    for name, value in weights.items():
        factor = re.fullmatch(r"fno_blocks\.convs\.weight\.(\d+)\.(.+)", name)
        if factor is not None:
            found[f"fno_blocks.convs.{factor[1]}.weight.{factor[2]}"] = torch.view_as_complex(
                value.contiguous()
            )
        elif name == "fno_blocks.convs.bias":
            found |= {f"fno_blocks.convs.{layer}.bias": own for layer, own in enumerate(value)}
        elif re.fullmatch(r"fno_blocks\.fno_skips\.\d+\.weight", name):
            found[name.replace(".weight", ".conv.weight")] = value.flatten(2)
        elif re.fullmatch(r"(lifting|projection)\.fcs\.\d+\.weight", name):
            found[name] = value.flatten(2)
        else:
            found[name] = value
    return found


def _fill(model: nn.Module, weights: Weights, folder: str | os.PathLike[str]) -> None:
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"the weights in {folder} do not fit the model of its config: {error}") from error
