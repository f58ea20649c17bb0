"""Verbs for language models: training one, and text from it."""

from pathlib import Path
from typing import Annotated

import typer

from mixbench.cli.options import Device, Json


def pretrain_command(
    base: Annotated[
        str, typer.Argument(help="Mixer or causal twin (tiny, tiny-twin, ...), mixer-tiny or a model folder.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write the model to.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="FIELD=VALUE in place of a preset's own, as context=512; repeatable."),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            help="Text file, .jsonl (text, else positive), also .gz, .xz; or hub:ORG/NAME[:CONFIG];"
            " <|endoftext|> ends a document; repeatable."
        ),
    ] = None,
    objective: Annotated[
        str,
        typer.Option(
            help="next-token: a language model. autoencoder: each window again from its embedding alone, by a"
            " decoder of the same shape, which is not kept. unrolled-autoencoder: likewise, the embedding"
            " turned by a place at each position."
        ),
    ] = "next-token",
    max_steps: Annotated[
        int | None, typer.Option(min=1, help="Optimiser steps. [one pass over the text]")
    ] = None,
    max_minutes: Annotated[
        float | None, typer.Option(help="Stop after so many minutes; --resume goes on.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Windows of a context in a batch.")] = 64,
    learning_rate: Annotated[float, typer.Option(help="Peak, after warm-up.")] = 5e-4,
    eval_every: Annotated[
        int | None, typer.Option(min=1, help="Steps between checkpoints. [a tenth of the run]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, order and held-out text.")] = 0,
    device: Device = "cpu",
    compile_model: Annotated[
        bool, typer.Option("--compile", help="Compile the network with torch.compile.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output folder.")] = False,
) -> None:
    """Train a causal language model, or an autoencoder, on text; write its folder, record, card and curve."""
    from mixbench.experiments.pretraining import run_pretraining
    from mixbench.training.language_config import PretrainConfig

    config = PretrainConfig(
        objective=objective,  # type: ignore[arg-type]  # checked there
        max_steps=max_steps,
        max_minutes=max_minutes,
        batch_size=batch_size,
        learning_rate=learning_rate,
        eval_every=eval_every,
        seed=seed,
        compile=compile_model,
    )
    folder = run_pretraining(
        base, text or [], config, output,
        device=device, settings=settings or (), resume=resume, overwrite=overwrite,
    )  # fmt: skip
    typer.echo(folder)


def generate_command(
    model: Annotated[str, typer.Argument(help="Folder that pretrain wrote.")],
    prompt: Annotated[str, typer.Argument(help="Start of the text; may be empty.")],
    tokens: Annotated[
        int,
        typer.Option(min=1, help="At most; each time the context is full, its last half is read again."),
    ] = 100,
    temperature: Annotated[float, typer.Option(help="Divides the logits; 0 takes the best token.")] = 1.0,
    top_k: Annotated[int, typer.Option(min=0, help="Draw from the k best tokens. [0: all]")] = 0,
    top_p: Annotated[
        float, typer.Option(help="Draw from the best tokens whose probabilities reach p.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
    device: Device = "cpu",
) -> None:
    """Print a prompt and what a language model writes after it, to the end of the document."""
    from mixbench.experiments.generating import run_generation
    from mixbench.models.sampling import Sampling

    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    typer.echo(run_generation(model, prompt, tokens, sampling, device=device))


def curves_command(
    models: Annotated[list[str], typer.Argument(help="Names of model folders below --records.")],
    records: Annotated[Path, typer.Option(help="Folder of the folders that pretrain wrote.")] = Path(),
    axis: Annotated[
        list[str] | None,
        typer.Option(help="tokens, flops or seconds; repeatable. Seconds need runs alone on a device. [all]"),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="JSON file to write.")] = None,
    plot: Annotated[Path | None, typer.Option(help="SVG file to draw the curves to.")] = None,
    as_json: Json = False,
) -> None:
    """Compare language models at equal tokens, operations and seconds, and show where their losses cross."""
    from mixbench.experiments.curves import AXES, run_curves
    from mixbench.experiments.curves_plot import curves_svg
    from mixbench.experiments.reporting import print_measured
    from mixbench.files import write_atomic

    report = run_curves(models, records, axis or AXES)
    if plot is not None:
        write_atomic(plot, curves_svg(report.models, axis or AXES))
    print_measured(report, output, as_json=as_json)
