"""`mixbench bench` on models: speed side by side, of encoding and of both kinds of training."""

from pathlib import Path
from typing import Annotated

import typer

from mixbench.cli.options import DataDir, Device, Json, TasksDir, Written


def bench_train_command(
    presets: Annotated[
        list[str] | None,
        typer.Argument(
            help="Presets; the others are compared with the first. [small small-twin small-wide-twin]",
            show_default=False,
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=2, help="Pairs in a batch.")] = 256,
    tokens: Annotated[
        int, typer.Option(min=2, help="Length of a positive; with --pairs the longest text that is read.")
    ] = 256,
    query_tokens: Annotated[int, typer.Option(min=2, help="Length of a query; not with --pairs.")] = 32,
    pairs: Annotated[
        Path | None, typer.Option(help="File of pairs, in place of synthetic ones of random words.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps timed in a round.")] = 20,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds, in each of which all models take a turn.")] = 5,
    warm_up: Annotated[int, typer.Option(min=1, help="Steps before those timed, in each turn.")] = 5,
    compile_model: Annotated[
        bool, typer.Option("--compile", help="Compile the networks with torch.compile.")
    ] = False,
    device: Device = "cpu",
    precision: Annotated[str, typer.Option(help="fp32, bf16, or auto: bf16 on a GPU that has it.")] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of weights, pairs and batches.")] = 0,
    output: Written = None,
    as_json: Json = False,
) -> None:
    """Training speed of several presets, in turns, by the trainer of train-retriever.

    Operations a second are 3 times the counted matrix products of the forward pass; their share of the
    peak is that of a large matrix product, timed in the same run. A model that cannot run is left out, with
    the reason.
    """
    from mixbench.experiments.bench_train import bench_presets
    from mixbench.experiments.bench_train_inputs import TrainBenchSettings
    from mixbench.experiments.reporting import print_measured

    settings = TrainBenchSettings(
        batch_size=batch_size,
        tokens=tokens,
        query_tokens=query_tokens,
        steps=steps,
        rounds=rounds,
        warm_up=warm_up,
        compile=compile_model,
        device=device,
        precision=precision,  # type: ignore[arg-type]  # checked by TrainConfig
        seed=seed,
    )
    named = presets or ["small", "small-twin", "small-wide-twin"]
    print_measured(bench_presets(named, settings, pairs), output, as_json=as_json)


def bench_lm_command(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help="PRESET or PRESET[FIELD=VALUE,...], as small[width=1024,context=512]; the others are"
            " compared with the first. [small small-twin small-wide-twin]",
            show_default=False,
        ),
    ] = None,
    tokens: Annotated[int, typer.Option(min=1, help="Tokens in a step, as windows of a context.")] = 16_384,
    steps: Annotated[int, typer.Option(min=1, help="Steps timed in a round.")] = 10,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds, in each of which all models take a turn.")] = 5,
    warm_up: Annotated[int, typer.Option(min=1, help="Rounds before those timed.")] = 1,
    compile_model: Annotated[
        bool, typer.Option("--compile", help="Compile the networks with torch.compile.")
    ] = False,
    device: Device = "cpu",
    seed: Annotated[int, typer.Option(min=0, help="Of weights and tokens.")] = 0,
    original: Annotated[
        Path | None,
        typer.Option(
            help="mixer_lm/mixer_trainer_fineweb.py of a checkout of blbadger/maskedmixers: its definitions"
            " are run, and its model takes part in the shape of the first.",
        ),
    ] = None,
    output: Written = None,
    as_json: Json = False,
) -> None:
    """Training speed of several language models, in turns, by the step of pretrain, on random tokens.

    Operations a second are 3 times the counted matrix products of the forward pass; their share of the
    peak is that of a large matrix product, timed in the same run. In bf16 on a GPU that has it. A model that
    cannot run is left out, with the reason.
    """
    from mixbench.experiments.bench_lm import LmBenchSettings, bench_lm
    from mixbench.experiments.reporting import print_measured

    settings = LmBenchSettings(
        tokens=tokens,
        steps=steps,
        rounds=rounds,
        warm_up=warm_up,
        compile=compile_model,
        device=device,
        seed=seed,
    )
    named = models or ["small", "small-twin", "small-wide-twin"]
    print_measured(bench_lm(named, settings, original=original), output, as_json=as_json)


def bench_encode_command(
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="As for eval; st:MODEL is sentence-transformers' own encode, DTYPE:MODEL in that type,"
            " PRESET[FIELD=VALUE,...] another shape, float16:st:MODEL goes too; repeatable."
            " [st:minilm, minilm, mixer-tiny]",
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", "-t", help="Encode documents of this task; or give --tokens.")
    ] = None,
    tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Encode random words, so many tokens a text by each model's tokenizer."),
    ] = None,
    documents: Annotated[int, typer.Option(min=1, help="Texts in a round; of a task at most.")] = 256,
    baseline: Annotated[
        str | None, typer.Option(help="Model that the others are held against. [the first]")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds, in each of which all models take a turn.")] = 5,
    warm_up: Annotated[int, typer.Option(min=1, help="Rounds before those timed.")] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of torch. [its own number]")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Texts encoded at once.")] = 32,
    max_length: Annotated[
        int | None, typer.Option(min=1, help="Tokens read of a text. [each model's own]")
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="Weights: float32, bfloat16, float16, or int8 on a CPU. [each model's own]"),
    ] = None,
    device: Device = "cpu",
    seed: Annotated[int, typer.Option(help="Of untrained weights and random words.")] = 0,
    data_dir: DataDir = None,
    tasks_dir: TasksDir = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never ask the hub.")] = False,
    output: Written = None,
    as_json: Json = False,
) -> None:
    """Documents a second of several models, in turns, on the same texts or on as many tokens.

    A ratio is to the baseline in the same round. A model that cannot run is left out, with the reason.
    """
    from mixbench.experiments.bench_encode import EncodeSettings, bench_encode
    from mixbench.experiments.bench_encode_texts import task_texts
    from mixbench.experiments.evaluating import Places
    from mixbench.experiments.reporting import print_measured
    from mixbench.experiments.systems import EncoderOptions

    settings = EncodeSettings(
        documents=documents, tokens=tokens, rounds=rounds, warm_up=warm_up, threads=threads
    )
    options = EncoderOptions(
        device=device, batch_size=batch_size, max_length=max_length, dtype=dtype, seed=seed, offline=offline
    )
    source, texts = "synthetic", None
    if task is not None:
        places = Places(tasks_dir=tasks_dir, data_dir=data_dir, offline=offline)
        source, texts = task_texts(task, places, documents)
    report = bench_encode(
        model or ["st:minilm", "minilm", "mixer-tiny"],
        options,
        settings,
        baseline=baseline,
        texts=texts,
        source=source,
    )
    print_measured(report, output, as_json=as_json)
