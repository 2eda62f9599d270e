"""`python -m agentdb.cli`: the same as `agentdb`."""

from agentdb.cli import main

main()
