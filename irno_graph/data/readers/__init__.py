"""Readers of other people's gridded data; `open_data` picks the one for a file or folder."""

from irno_graph.data.readers.darcy import DarcyFile
from irno_graph.data.readers.detect import layout_of, open_data
from irno_graph.data.readers.latlon import LatLonFile
from irno_graph.data.readers.mesh_series import MeshSeries
from irno_graph.data.readers.mesh_trajectories import MeshTrajectories
from irno_graph.data.readers.poseidon import PoseidonData
from irno_graph.data.readers.rigno import RignoFile
from irno_graph.data.readers.rigno_samples import RignoSamples
from irno_graph.data.readers.source import FieldSource, as_trajectories, sampled_moments
from irno_graph.data.readers.sphere_trajectories import SphereTrajectories
from irno_graph.data.readers.well import WellData

__all__ = [
    "DarcyFile",
    "FieldSource",
    "LatLonFile",
    "MeshSeries",
    "MeshTrajectories",
    "PoseidonData",
    "RignoFile",
    "RignoSamples",
    "SphereTrajectories",
    "WellData",
    "as_trajectories",
    "layout_of",
    "open_data",
    "sampled_moments",
]
