"""What a training starts from: a finished base, or a model whose corrector is trained on."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from irno_graph.bases import RIGNO, Stepped
from irno_graph.correctors.corrector import GraphCorrector
from irno_graph.experiments.config import ConfigError, ExperimentConfig
from irno_graph.refine import IRNO, RefinedBase, load
from irno_graph.refine.hashes import description_hash
from irno_graph.refine.kinds import described


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


def finished_base(config: ExperimentConfig) -> nn.Module:
    """The base that the config names, or that of its own base stage; a refined model is one, too.

    Raises:
        ValueError: if there is none, or the file holds something else.
    """
    begun = begun_model(config)
    path = Path(config.start or config.base_file or Path(config.folder) / "base.safetensors")
    if begun is None and not path.is_file():
        raise ValueError(f"`{path}` should hold the trained base, found nothing: run the base stage first.")
    base = load(path) if begun is None else begun.base
    base = RefinedBase(base) if isinstance(base, IRNO) else base
    if not isinstance(base, RIGNO | Stepped | RefinedBase):
        raise ValueError(
            f"`{path}` should hold a base of the stage base, or a model with a base and a corrector, got "
            f"{type(base).__name__}."
        )
    return base


def begun_control(config: ExperimentConfig) -> RIGNO | Stepped:
    """What the control goes on from: the finished base, or an earlier control.

    Raises:
        ValueError: if there is none, or it is nothing that the stage can train on.
    """
    base = load(config.control_start) if config.control_start else finished_base(config)
    wanted: type[RIGNO | Stepped] = Stepped if config.base.kind == "fno" else RIGNO
    if not isinstance(base, wanted):
        raise ValueError(
            f"the control of `{config.name}` should go on from a {wanted.__name__}, as `base.kind` says, got "
            f"{type(base).__name__}: name one by `base_file` or `control_start`, or train a base first."
        )
    return base


def decisive(model: IRNO) -> dict[str, str]:
    """What of its base decides a corrector's training: the weights, and of a refined model its steps, too."""
    found = {"base_hash": model.base_hash}
    if isinstance(model.base, RefinedBase):
        found["base_settings"] = description_hash(described(model.base))
    return found
