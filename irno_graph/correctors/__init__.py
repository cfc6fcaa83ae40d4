"""Correctors Phi(x, h, graph): what refines an estimate."""

from irno_graph.correctors.message_passing import MessagePassing, MultiscaleMessagePassing

__all__ = ["MessagePassing", "MultiscaleMessagePassing"]
