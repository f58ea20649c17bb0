"""Verbs that look into models: what their states and embeddings tell of the tokens."""

from pathlib import Path
from typing import Annotated

import typer

from mixbench.cli.options import Device, Json

Models = Annotated[list[str], typer.Argument(help="Preset (untrained), mixer-tiny, minilm, a model folder.")]
ProbedText = Annotated[
    str | None,
    typer.Option(
        help="Text file, <|endoftext|> between documents, or .jsonl with 'text'. [the embedded task's]"
    ),
]


def probe_command(
    models: Models,
    text: ProbedText = None,
    random: Annotated[
        bool, typer.Option("--random", help="Uniform random tokens in place of a text.")
    ] = False,
    vocabulary: Annotated[
        int | None, typer.Option(min=2, help="With --random: the first so many tokens are all there are.")
    ] = None,
    form: Annotated[
        str, typer.Option(help="fair: lengths in deviations of the embeddings; paper: the original's.")
    ] = "fair",
    length: Annotated[
        list[int] | None, typer.Option(min=1, help="Tokens of a text; repeatable. [32]", show_default=False)
    ] = None,
    layers: Annotated[
        str | None, typer.Option(help="Layers by number, from 1, as 1,4; or all. [the last]")
    ] = None,
    hidden: Annotated[
        int, typer.Option(min=0, help="Look for the first so many tokens, in the states after them alone.")
    ] = 0,
    texts: Annotated[int, typer.Option(min=1, help="Texts inverted.")] = 8,
    seeds: Annotated[
        int, typer.Option(min=1, help="Starts of each text; a preset has other weights for each.")
    ] = 1,
    steps: Annotated[int | None, typer.Option(min=1, help="Gradient steps. [500]")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="FIELD=VALUE of a preset, as depth=2; repeatable.")
    ] = None,
    embedding_deviation: Annotated[
        float | None, typer.Option(help="Draw a preset's embeddings with this deviation. [its own]")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Texts inverted at once.")] = 32,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to write a record of each inversion to.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="SVG file to draw the table to.")] = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Input representation accuracy: turn hidden states back into tokens by their gradient.

    ham is the share of tokens that are none of five candidates by the pseudo-inverse of the embeddings;
    top-1 and top-5 are shares found by the nearest embedding.
    """
    from mixbench.experiments.probe_report import probe_rows
    from mixbench.experiments.probe_subjects import SubjectOptions
    from mixbench.experiments.probing import ProbeOptions, run_probe
    from mixbench.experiments.reporting import print_probe

    options = ProbeOptions(
        form=form,
        steps=steps,
        layers=layers,
        lengths=length or [32],
        hidden=hidden,
        text=text,
        random=random,
        vocabulary=vocabulary,
        texts=texts,
        seeds=seeds,
        batch_size=batch_size,
    )
    opening = SubjectOptions(settings=settings or (), embedding_deviation=embedding_deviation, device=device)
    print_probe(probe_rows(run_probe(models, options, opening, output)), form, plot, as_json=as_json)


def retention_command(
    models: Models,
    text: ProbedText = None,
    length: Annotated[int, typer.Option(min=1, help="Tokens of a text.")] = 32,
    texts: Annotated[int, typer.Option(min=1, help="Texts that the decoder learns from.")] = 1_000,
    held_out: Annotated[int, typer.Option(min=1, help="Texts after them, that it is judged by.")] = 100,
    width: Annotated[int, typer.Option(min=1, help="Of the decoder.")] = 128,
    depth: Annotated[int, typer.Option(min=1, help="Blocks of the decoder.")] = 2,
    steps: Annotated[int, typer.Option(min=1, help="Training steps.")] = 300,
    batch_size: Annotated[int, typer.Option(min=1, help="Texts in a batch.")] = 32,
    learning_rate: Annotated[float, typer.Option(help="Peak, after warm-up.")] = 2e-3,
    precision: Annotated[str, typer.Option(help="Of training: fp32 or bf16.")] = "fp32",
    seed: Annotated[int, typer.Option(min=0, help="Of the decoder, its batches and untrained weights.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="JSON file to write, with settings and origin.")
    ] = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Information retention: rebuild a text's tokens from its one embedding by a decoder trained for it.

    A trained model stands beside an untrained copy, and beside guesses by frequency without an embedding.
    retained is 1 less the cross-entropy over the logarithm of the vocabulary.
    """
    from mixbench.experiments.reporting import print_measured
    from mixbench.experiments.retaining import RetentionOptions, run_retention
    from mixbench.probes.retention import RetentionSettings

    settings = RetentionSettings(
        steps=steps,
        batch_size=batch_size,
        rate=learning_rate,
        precision=precision,  # type: ignore[arg-type]  # checked there
        seed=seed,
    )
    options = RetentionOptions(
        tokens=length,
        text=text,
        texts=texts,
        held_out=held_out,
        width=width,
        depth=depth,
        device=device,
    )
    print_measured(run_retention(models, options, settings), output, as_json=as_json)


def relate_command(
    models: Annotated[list[str], typer.Argument(help="Names of model folders below --records.")],
    probe: Annotated[list[Path], typer.Option(help="What probe --json printed of them; repeatable.")],
    records: Annotated[Path, typer.Option(help="Folder of the folders that pretrain wrote.")],
    pools: Annotated[Path, typer.Option(help="Folder with a report of pools for each, NAME.json.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="JSON file to write.")] = None,
    plot: Annotated[Path | None, typer.Option(help="SVG file to draw the models to.")] = None,
    as_json: Json = False,
) -> None:
    """Relate models: what a probe finds in them, their language loss and their nDCG@10, by rank correlations.

    Intervals are of 95 % over models drawn again.
    """
    from mixbench.experiments.relating import run_relating
    from mixbench.experiments.relation_plot import relation_svg
    from mixbench.experiments.reporting import print_measured
    from mixbench.files import write_atomic

    report = run_relating(models, probe, records, pools)
    if plot is not None:
        write_atomic(plot, relation_svg(report.models, [each.stem for each in probe], "ndcg_at_10"))
    print_measured(report, output, as_json=as_json)
