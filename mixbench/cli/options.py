"""Options that several verbs take, in the same words."""

from pathlib import Path
from typing import Annotated

import typer

TasksDir = Annotated[
    Path | None, typer.Option(help="Folder of task files, instead of ./tasks or the package's.")
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder of BEIR folders, looked at before $MIXBENCH_DATA and ~/.cache/mixbench/data."),
]
Device = Annotated[str, typer.Option(help="Torch device: cpu, cuda, cuda:1, mps.")]
Output = Annotated[Path, typer.Option(help="Folder of results and boards.")]
StoreDir = Annotated[
    Path | None,
    typer.Option("--store", help="Folder of embeddings. [$MIXBENCH_STORE, else ~/.cache/mixbench/store]"),
]
StoreLimit = Annotated[
    float, typer.Option(min=0, help="GiB that the store may have; the longest unused embeddings go.")
]
Memory = Annotated[
    str | None,
    typer.Option(
        help="Most that embeddings take in memory, as 2GiB or 500MiB; not the model. Embeddings and texts are"
        " then in temporary files. [as much as all take]"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Written = Annotated[
    Path | None, typer.Option("--output", "-o", help="JSON file to write, with each round's figures.")
]
