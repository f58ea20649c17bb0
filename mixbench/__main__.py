"""`python -m mixbench` is the command `mixbench`."""

from mixbench.cli import main

main()
