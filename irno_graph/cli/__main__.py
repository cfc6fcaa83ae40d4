"""`python -m irno_graph.cli`, and `torchrun ... -m irno_graph.cli`: the command line."""

from irno_graph.cli import main

main()
