"""Refinement of a base's output, and storage of refined models."""

from irno_graph.refine.boundary import Dirichlet
from irno_graph.refine.certificate import Certificate, Verdict, certify
from irno_graph.refine.choice import AlphaChoice, choose_alpha
from irno_graph.refine.contraction import implicit_limit, jacobian_penalty, norm_penalty
from irno_graph.refine.given import Given, LeftOut, with_answers
from irno_graph.refine.guard import Guard
from irno_graph.refine.irno import IRNO
from irno_graph.refine.loop import Refinement, Status, finite_samples, over_nodes, refine
from irno_graph.refine.partitioned import PartitionedIRNO
from irno_graph.refine.refined import RefinedBase
from irno_graph.refine.scaling import Scaling
from irno_graph.refine.schedules import Averaged, Constant, Decaying, Harmonic, Schedule, check_alpha
from irno_graph.refine.solvers import Aitken, Anderson, Plain, Solver
from irno_graph.refine.space import Space
from irno_graph.refine.storage import load, save

__all__ = [
    "IRNO",
    "Aitken",
    "AlphaChoice",
    "Anderson",
    "Averaged",
    "Certificate",
    "Constant",
    "Decaying",
    "Dirichlet",
    "Given",
    "Guard",
    "Harmonic",
    "LeftOut",
    "PartitionedIRNO",
    "Plain",
    "RefinedBase",
    "Refinement",
    "Scaling",
    "Schedule",
    "Solver",
    "Space",
    "Status",
    "Verdict",
    "certify",
    "check_alpha",
    "choose_alpha",
    "finite_samples",
    "implicit_limit",
    "jacobian_penalty",
    "load",
    "norm_penalty",
    "over_nodes",
    "refine",
    "save",
    "with_answers",
]
