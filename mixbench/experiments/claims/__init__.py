"""The claims of arXiv 2409.01482, each with runs that test it here and a rule that judges them.

The claims are data: one TOML file for each family beside this module, and `values.toml` for what differs
between the scales. `claim.py` reads them, `figures.py` reads numbers out of evidence, `rules.py` compares
them, `judging.py` puts both together and `page.py` lays out the verdicts.
"""
