"""`python -m irno_graph`, and `torchrun ... -m irno_graph`: the command line."""

from irno_graph.cli import main

main()
