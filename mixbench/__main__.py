"""`python -m mixbench` is the command `mixbench`."""

from mixbench.cli import main

if __name__ == "__main__":
    main()
