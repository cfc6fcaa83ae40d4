"""What is used of torch_geometric, imported without the deprecation that it causes in PyTorch."""

import warnings

with warnings.catch_warnings(action="ignore"):
    from torch_geometric.data import Batch, Data

__all__ = ["Batch", "Data"]
