"""Verbs on the store of embeddings."""

import typer

from mixbench.cli.options import Json, StoreDir, StoreLimit


def store_info_command(store: StoreDir = None, as_json: Json = False) -> None:
    """Show how much is kept of each model."""
    from mixbench.experiments.reporting import print_rows
    from mixbench.experiments.storing import open_store, store_rows

    opened = open_store(store, 0)
    typer.echo(opened.folder, err=True)
    print_rows(store_rows(opened), as_json=as_json)


def store_verify_command(store: StoreDir = None) -> None:
    """Read every shard; drop and name each that fails its checksum, and exit 3 then."""
    from mixbench.experiments.storing import drop_damaged, open_store

    opened = open_store(store, 0)
    lines = drop_damaged(opened)
    for line in lines:
        typer.echo(line)
    if lines:
        raise typer.Exit(3)
    typer.echo(f"{opened.folder}: all {len(opened.shards())} shards are whole")


def store_prune_command(store: StoreDir = None, store_limit: StoreLimit = 10.0) -> None:
    """Drop the longest unused embeddings past the limit, and what killed runs left half written."""
    from mixbench.experiments.storing import open_store, prune_store

    typer.echo(prune_store(open_store(store, store_limit)))
