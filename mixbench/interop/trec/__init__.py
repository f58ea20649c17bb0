"""TREC: the forms in which rankings and judgments travel between evaluation tools.

Files are read through gzip, xz or bzip2 where their last suffix says so, and fields are divided by white
space. What mixbench wrote is read and written again without a byte changed.
"""

from mixbench.interop.trec.order import trec_order
from mixbench.interop.trec.qrels import read_judgments, read_qrels, write_qrels
from mixbench.interop.trec.runs import Run, read_run, write_run

__all__ = ["Run", "read_judgments", "read_qrels", "read_run", "trec_order", "write_qrels", "write_run"]
