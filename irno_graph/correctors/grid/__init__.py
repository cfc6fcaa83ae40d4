"""Correctors for graphs that are regular grids."""

from irno_graph.correctors.grid.convnext import ConvNeXt
from irno_graph.correctors.grid.fno import FNO
from irno_graph.correctors.grid.official import Official, read_official
from irno_graph.correctors.grid.resnet import ResNet
from irno_graph.correctors.grid.unet import UNet

__all__ = ["FNO", "ConvNeXt", "Official", "ResNet", "UNet", "read_official"]
