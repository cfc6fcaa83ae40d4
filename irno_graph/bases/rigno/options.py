"""The reference's config files, in this library's terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from irno_graph.bases.rigno.datasets import DATASETS
from irno_graph.bases.rigno.network import Architecture
from irno_graph.bases.rigno.regional import RegionalSettings

FIRST_KERNEL = "encoder/gnn/encoder_nodes_pnodes/layers_0/kernel"
SNAPSHOTS = 21  # of the reference's data files, which do not say it
T = TypeVar("T", int, float)
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
        if "model_configs" not in config:
            return _from_parts(config)
        if FIRST_KERNEL not in params:
            raise ValueError(
                f"`params` should hold {FIRST_KERNEL}, got {len(params)} others: pass all of them."
            )
        return _from_run(config, np.shape(params[FIRST_KERNEL])[0])
    except KeyError as error:
        raise ValueError(
            f"`config` should be the reference's configs.json, or hold `model`, `builder`, `nvar`, `ncoef` and "
            f"`domain`; {error} is missing: pass the whole of it."
        ) from error
    except (TypeError, AttributeError) as error:
        raise ValueError(
            f"`config` should be nested dictionaries as the reference writes them: {error}."
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
    span = config.get("domain_t") or (0.0, 1.0)
    return Options(
        channels=_number(config, "nvar", int),
        coefficients=_number(config, "ncoef", int),
        architecture=_architecture(model),
        regional=_regional(builder, "subsample_factor"),
        periodic=_switch(builder, "periodic"),
        domain=(_corner(low), _corner(high)),
        stepper=str(config.get("stepper", config.get("first_stepper", "der"))),
        time_span=(float(span[0]), float(span[1])),
        lead_time=_number({"dt": 0.1, **config}, "dt", float),
    )


def _from_run(config: Mapping[str, Any], kernel_rows: int) -> Options:
    flags, model = config["flags"], config["model_configs"]
    name = str(flags["datapath"]).strip("/")
    if name not in DATASETS:
        raise ValueError(
            f"`config` names the data set {name}, known are {', '.join(DATASETS)}: give `RIGNO.from_flax` a "
            "dictionary with `model` and `builder` instead."
        )
    data, architecture = DATASETS[name], _architecture(model)
    regional = _regional(flags, "mesh_subsample_factor")
    coordinates = 4 * regional.coordinate_frequencies if data.periodic else 2
    channels = _number(model, "num_outputs", int)
    inputs = kernel_rows - coordinates - int(architecture.use_time) - int(architecture.use_lead_time)
    if inputs < channels:
        raise ValueError(
            f"`config` describes {channels} channels, the first kernel of `params` has room for {inputs}: they are "
            "not of the same run."
        )
    span = data.time_span or (0.0, 1.0)
    snapshots = (SNAPSHOTS - 1) / _number(
        {"time_downsample_factor": 2, **flags}, "time_downsample_factor", int
    )
    return Options(
        channels=channels,
        coefficients=inputs - channels,
        architecture=architecture,
        regional=regional,
        periodic=data.periodic,
        domain=data.domain,
        stepper=str(flags["stepper"]) if data.time_span else "out",
        time_span=span,
        lead_time=(span[1] - span[0]) / snapshots if data.time_span else 1.0,
    )


def _architecture(model: Mapping[str, Any]) -> Architecture:
    conditioned = _switch({"conditioned_normalization": True, **model}, "conditioned_normalization")
    return Architecture(
        processor_steps=_number(model, "processor_steps", int),
        node_hidden=_number(model, "node_latent_size", int),
        edge_hidden=_number(model, "edge_latent_size", int),
        mlp_hidden_layers=_number(model, "mlp_hidden_layers", int),
        correction_hidden=_number(model, "cond_norm_hidden_size", int) if conditioned else None,
        head_hidden=_number(model, "num_outputs", int),
        use_time=_switch(model, "concatenate_t"),
        use_lead_time=_switch(model, "concatenate_tau"),
    )


def _regional(builder: Mapping[str, Any], factor: str) -> RegionalSettings:
    return RegionalSettings(
        subsample_factor=_number(builder, factor, float),
        overlap_p2r=_number(builder, "overlap_factor_p2r", float),
        overlap_r2p=_number(builder, "overlap_factor_r2p", float),
        levels=_number(builder, "rmesh_levels", int),
        coordinate_frequencies=_number(builder, "node_coordinate_freqs", int),
        cover=False,
    )


def _number(part: Mapping[str, Any], key: str, kind: type[T]) -> T:
    value = part[key]
    try:
        number = float(value)
        if isinstance(value, bool) or (kind is int and number != int(number)):
            raise ValueError(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"`config` should have a number ({kind.__name__}) as {key}, got {value!r}."
        ) from error
    return kind(number)


def _switch(part: Mapping[str, Any], key: str) -> bool:
    value = part[key]
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"`config` should have true or false as {key}, got {value!r}.")
    return bool(value)


def _corner(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
