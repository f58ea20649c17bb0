"""Verbs that make models, and what they are made of."""

from pathlib import Path
from typing import Annotated

import typer

from mixbench.cli.options import DataDir, Device, TasksDir


def train_retriever_command(
    base: Annotated[
        str, typer.Argument(help="Preset (tiny, small, base, tiny-twin, ...), mixer-tiny or a model folder.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write the trained model to.")],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="FIELD=VALUE in place of a preset's or a mixer's own, as groups=8; repeatable.",
        ),
    ] = None,
    static: Annotated[
        str | None, typer.Option(help="Static model whose token embeddings a preset starts from.")
    ] = None,
    pairs: Annotated[
        list[str] | None,
        typer.Option(
            "--pairs", help="PATH or PATH:WEIGHT of query and positive; jsonl, .gz, .xz, parquet; repeatable."
        ),
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option("--task", help="Train on this task's train split; repeatable.")
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            help="PATH or PATH:WEIGHT of text, <|endoftext|> after each document, or jsonl with 'text':"
            " a sentence asks for the rest of its passage; repeatable."
        ),
    ] = None,
    text_pairs: Annotated[int, typer.Option(min=2, help="At most so many pairs of each --text.")] = 50_000,
    teacher: Annotated[
        str | None, typer.Option(help="Encoder to distil from: minilm, mixer-tiny, a folder or a hub name.")
    ] = None,
    teacher_weight: Annotated[float, typer.Option(help="Of the distillation losses.")] = 1.0,
    teacher_store: Annotated[
        Path | None,
        typer.Option(help="Folder of teachers' embeddings. [~/.cache/mixbench/teachers]"),
    ] = None,
    infonce_weight: Annotated[
        float, typer.Option(help="Of InfoNCE beside a teacher; 0 is pure distillation.")
    ] = 1.0,
    both_directions: Annotated[
        bool, typer.Option("--both-directions", help="InfoNCE of positives over queries too, averaged.")
    ] = False,
    matryoshka: Annotated[
        str | None,
        typer.Option(help="Widths to train too, such as 64,128: the first dimensions alone serve."),
    ] = None,
    average: Annotated[
        float | None, typer.Option(help="Decay of a moving average of the weights, which is published.")
    ] = None,
    schedule: Annotated[
        str, typer.Option(help="How the learning rate falls after warm-up: linear or cosine.")
    ] = "linear",
    exclude_task: Annotated[
        list[str] | None,
        typer.Option(help="Drop pairs that hold a test query, or a document relevant to one; repeatable."),
    ] = None,
    licence: Annotated[
        list[str] | None, typer.Option(help="SOURCE=LICENCE for the card; repeatable.")
    ] = None,
    model_licence: Annotated[str, typer.Option(help="Licence of the weights, for the card.")] = "",
    data_dir: DataDir = None,
    tasks_dir: TasksDir = None,
    dev_pairs: Annotated[
        int, typer.Option(min=0, help="Held out of each source to choose the checkpoint.")
    ] = 500,
    temperature: Annotated[float, typer.Option(help="Of the InfoNCE softmax.")] = 0.05,
    learning_rate: Annotated[float, typer.Option(help="Peak, after warm-up.")] = 5e-4,
    embedding_rate: Annotated[
        float | None, typer.Option(help="Peak for token embeddings. [that of the other weights]")
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=2, help="Pairs in a batch: each has the others' positives as negatives.")
    ] = 256,
    hard_negatives: Annotated[
        int, typer.Option(min=0, help="Of each pair's mined negatives, drawn anew each epoch.")
    ] = 0,
    mini_batch_size: Annotated[
        int | None, typer.Option(min=1, help="Texts embedded at once: less memory, same loss.")
    ] = None,
    epochs: Annotated[float, typer.Option(help="Passes over the pairs.")] = 1.0,
    max_steps: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many steps, whatever --epochs says.")
    ] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Stop after so many minutes.")] = None,
    eval_every: Annotated[
        int | None, typer.Option(min=1, help="Steps between checkpoints. [a tenth of the run]")
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(min=1, help="Tokens read of a text. [the model's own]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, order and samples.")] = 0,
    device: Device = "cpu",
    compile_model: Annotated[
        bool, typer.Option("--compile", help="Compile the network with torch.compile.")
    ] = False,
    shrink: Annotated[bool, typer.Option("--shrink", help="Store a mixer's weights as int8 rows.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output folder.")] = False,
) -> None:
    """Train a retriever with cosine InfoNCE, a teacher or both, and write its folder, record and card.

    Processes that torchrun or accelerate launch starts share each batch, each on its own device.
    """
    from mixbench.experiments.training import PairOptions, run_training
    from mixbench.training.config import TrainConfig, read_widths
    from mixbench.training.processes import company, number

    config = TrainConfig(
        temperature=temperature,
        learning_rate=learning_rate,
        embedding_rate=embedding_rate,
        batch_size=batch_size,
        mini_batch_size=mini_batch_size,
        epochs=epochs,
        max_steps=max_steps,
        max_minutes=max_minutes,
        eval_every=eval_every,
        max_length=max_length,
        seed=seed,
        compile=compile_model,
        schedule=schedule,  # type: ignore[arg-type]  # checked there
        both_directions=both_directions,
        matryoshka=read_widths(matryoshka),
        average=average,
        infonce_weight=infonce_weight,
        teacher_weight=teacher_weight,
        hard_negatives=hard_negatives,
    )
    sources = PairOptions(
        files=pairs or [],
        texts=text or [],
        text_pairs=text_pairs,
        tasks=task or [],
        exclude_tasks=exclude_task or [],
        licences=licence or [],
        dev_pairs=dev_pairs,
        tasks_dir=tasks_dir,
        data_dir=data_dir,
    )
    with company(device) as own_device:
        folder = run_training(
            base, sources, config, output,
            teacher=teacher, teacher_store=teacher_store, device=own_device, settings=settings or (),
            static=static, model_licence=model_licence, shrink=shrink, resume=resume, overwrite=overwrite,
        )  # fmt: skip
        if number() == 0:
            typer.echo(folder)


def train_tokenizer_command(
    output: Annotated[Path, typer.Argument(help="JSON file to write.")],
    pairs: Annotated[list[Path] | None, typer.Option(help="Pair file, both sides used; repeatable.")] = None,
    text: Annotated[
        list[Path] | None, typer.Option(help="Text file, plain or compressed; repeatable.")
    ] = None,
    vocabulary: Annotated[int, typer.Option(min=300, help="Tokens.")] = 16_384,
) -> None:
    """Train the lower-cased byte-level BPE tokenizer that mixers and twins share."""
    from mixbench.experiments.tokenizing import run_tokenizer_training

    typer.echo(run_tokenizer_training(output, pairs or [], text or [], vocabulary))
