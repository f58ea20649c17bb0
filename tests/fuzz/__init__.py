"""Fuzzing of every reader: `python -m tests.fuzz TARGET --minutes N`; without a target, the names of all.

    targets_*.py    what is read, and valid inputs to start from
    target.py       what a target is, and one attempt at it
    guard.py        what an attempt may not do: write outside its folder, run code, open sockets, take memory
    __main__.py     atheris, which changes the inputs by what code they reach

An input fails where anything but a MixbenchError comes out, or a rule of the guard is broken.
"""
