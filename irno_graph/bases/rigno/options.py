"""The reference's config files, in this library's terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from irno_graph.bases.rigno.datasets import DATASETS
from irno_graph.bases.rigno.network import Architecture
from irno_graph.bases.rigno.regional import RegionalSettings

Domain = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Options:
    """What a config of the reference says of an operator."""

    channels: int
    coefficients: int
    architecture: Architecture
    regional: RegionalSettings
    periodic: bool
    domain: Domain
    stepper: str
    time_span: tuple[float, float]
    lead_time: float


def read_options(config: Mapping[str, Any], params: Mapping[str, Any]) -> Options:
    """Read `configs.json` of the reference, or a dictionary with `model` and `builder`.

    Raises:
        ValueError: if it is neither, or names a data set that is not known.
    """
    try:
        return _from_run(config, params) if "model_configs" in config else _from_parts(config)
    except KeyError as error:
        raise ValueError(
            f"`config` should be the reference's configs.json, or hold `model`, `builder`, `nvar`, `ncoef` and "
            f"`domain`; {error} is missing: pass the whole of it."
        ) from error


def flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping with its keys joined by slashes.

    >>> flat({"u": {"mean": 1}, "t/min": 2})
    {'u/mean': 1, 't/min': 2}
    """
    found: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}/")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _from_parts(config: Mapping[str, Any]) -> Options:
    builder, model = config["builder"], config["model"]
    low, high = config["domain"]
    span = config.get("domain_t", (0.0, 1.0))
    return Options(
        channels=int(config["nvar"]),
        coefficients=int(config["ncoef"]),
        architecture=_architecture(model),
        regional=_regional(builder),
        periodic=bool(builder["periodic"]),
        domain=(_corner(low), _corner(high)),
        stepper=str(config.get("stepper", config.get("first_stepper", "der"))),
        time_span=(float(span[0]), float(span[1])),
        lead_time=float(config.get("dt", 0.1)),
    )


def _from_run(config: Mapping[str, Any], params: Mapping[str, Any]) -> Options:
    flags, model = config["flags"], config["model_configs"]
    name = str(flags["datapath"]).strip("/")
    if name not in DATASETS:
        raise ValueError(
            f"`config` names the data set {name}, known are {', '.join(DATASETS)}: pass a dictionary with "
            "`model` and `builder` instead."
        )
    data = DATASETS[name]
    channels = int(model["num_outputs"])
    architecture = _architecture(model)
    regional = _regional(
        {
            "rmesh_levels": flags["rmesh_levels"],
            "subsample_factor": flags["mesh_subsample_factor"],
            "overlap_factor_p2r": flags["overlap_factor_p2r"],
            "overlap_factor_r2p": flags["overlap_factor_r2p"],
            "node_coordinate_freqs": flags["node_coordinate_freqs"],
        }
    )
    coordinates = 4 * regional.coordinate_frequencies if data.periodic else 2
    times = int(architecture.use_time) + int(architecture.use_lead_time)
    rows = np.shape(flat(params)["encoder/gnn/encoder_nodes_pnodes/layers_0/kernel"])[0]
    steady = data.time_span is None
    inputs = rows - coordinates - times
    span = (0.0, 1.0) if data.time_span is None else data.time_span
    return Options(
        channels=channels,
        coefficients=inputs - channels,
        architecture=architecture,
        regional=regional,
        periodic=data.periodic,
        domain=data.domain,
        stepper="out" if steady else str(flags["stepper"]),
        time_span=span,
        lead_time=1.0 if steady else (span[1] - span[0]) * int(flags.get("time_downsample_factor", 1)) / 20,
    )


def _architecture(model: Mapping[str, Any]) -> Architecture:
    conditioned = bool(model.get("conditioned_normalization", True))
    return Architecture(
        processor_steps=int(model["processor_steps"]),
        node_hidden=int(model["node_latent_size"]),
        edge_hidden=int(model["edge_latent_size"]),
        mlp_hidden_layers=int(model["mlp_hidden_layers"]),
        correction_hidden=int(model["cond_norm_hidden_size"]) if conditioned else None,
        head_hidden=int(model["num_outputs"]),
        use_time=bool(model["concatenate_t"]),
        use_lead_time=bool(model["concatenate_tau"]),
    )


def _regional(builder: Mapping[str, Any]) -> RegionalSettings:
    return RegionalSettings(
        subsample_factor=float(builder["subsample_factor"]),
        overlap_p2r=float(builder["overlap_factor_p2r"]),
        overlap_r2p=float(builder["overlap_factor_r2p"]),
        levels=int(builder["rmesh_levels"]),
        coordinate_frequencies=int(builder["node_coordinate_freqs"]),
        cover=False,
    )


def _corner(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
