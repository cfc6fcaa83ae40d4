"""What a training starts from: a finished base, or a model whose corrector is trained on."""

from __future__ import annotations

from pathlib import Path

from irno_graph.bases.rigno import RIGNO
from irno_graph.correctors.corrector import GraphCorrector
from irno_graph.experiments.config import ConfigError, ExperimentConfig
from irno_graph.refine import IRNO, load


def begun_model(config: ExperimentConfig) -> IRNO | None:
    """The model that the config starts from, if it names one."""
    if not config.start:
        return None
    model = load(config.start)
    if not isinstance(model, IRNO):
        raise ConfigError(
            f"`start` should name a model with a corrector, got {type(model).__name__} in `{config.start}`."
        )
    return model


def take_over(corrector: GraphCorrector, begun: IRNO, config: ExperimentConfig) -> None:
    """Give `corrector` the weights of the model that the config starts from."""
    try:
        corrector.load_state_dict(begun.corrector.state_dict())
    except RuntimeError as error:
        raise ConfigError(
            f"the corrector in `{config.start}` should have the sizes that `corrector` gives "
            f"(kind, hidden, layers, levels, edge_hidden, modes): {str(error).splitlines()[1].strip()}"
        ) from error


def finished_base(config: ExperimentConfig) -> RIGNO:
    """The base that the config names, or that of its own base stage.

    Raises:
        ValueError: if there is none.
    """
    begun = begun_model(config)
    path = Path(config.start or config.base_file or Path(config.folder) / "base.safetensors")
    if begun is None and not path.is_file():
        raise ValueError(f"`{path}` should hold the trained base, found nothing: run the base stage first.")
    return as_rigno(load(path) if begun is None else begun.base, config)


def as_rigno(base: object, config: ExperimentConfig) -> RIGNO:
    """The same, if it is one.

    Raises:
        ValueError: if it is something else.
    """
    if not isinstance(base, RIGNO):
        raise ValueError(
            f"`{config.name}` should start from a RIGNO, got {type(base).__name__}: train a base first."
        )
    return base
