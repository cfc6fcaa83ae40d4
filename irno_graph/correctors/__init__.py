"""Correctors Phi(x, h, graph): what refines an estimate."""

from irno_graph.correctors.anchored import Anchored
from irno_graph.correctors.edge_message_passing import EdgeMessagePassing
from irno_graph.correctors.grid import FNO, ConvNeXt, ResNet, UNet
from irno_graph.correctors.message_passing import MessagePassing
from irno_graph.correctors.multiscale import MultiscaleMessagePassing
from irno_graph.correctors.options import Options
from irno_graph.correctors.prepares import Prepares

__all__ = [
    "FNO",
    "Anchored",
    "ConvNeXt",
    "EdgeMessagePassing",
    "MessagePassing",
    "MultiscaleMessagePassing",
    "Options",
    "Prepares",
    "ResNet",
    "UNet",
]
