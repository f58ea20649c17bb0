"""A run's settings as sentence-transformers' trainer takes them."""

import re
from pathlib import Path

from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments
from torch import nn
from torch.cuda import is_bf16_supported

from mixbench.training.config import TrainConfig
from mixbench.training.dev import METRIC
from mixbench.training.gathering import has_idle_weights
from mixbench.training.processes import check_count, count


def training_arguments(
    model: SentenceTransformer, config: TrainConfig, work: Path, steps: int, has_dev: bool
) -> SentenceTransformerTrainingArguments:
    """Return what the library's trainer is told: `steps` steps, with checkpoints below `work`."""
    every = min(steps, config.eval_every or max(1, steps // 10))
    on_gpu = model.device.type == "cuda"
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(work),
        max_steps=steps,
        per_device_train_batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        learning_rate_mapping=_own_rates(model, config.embedding_rate),
        lr_scheduler_type=config.schedule,
        warmup_steps=round(config.warmup_ratio * steps),
        weight_decay=config.weight_decay,
        optim="adamw_torch_fused" if on_gpu else "adamw_torch",
        seed=config.seed,
        bf16=config.precision == "bf16" or (config.precision == "auto" and on_gpu and is_bf16_supported()),
        use_cpu=model.device.type == "cpu",
        dataloader_pin_memory=on_gpu,
        logging_steps=max(1, min(every, steps // 100)),
        logging_nan_inf_filter=False,
        eval_strategy="steps" if has_dev else "no",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,  # the best and the last; with 1 the end of a run would delete the last
        load_best_model_at_end=False,
        metric_for_best_model=f"eval_{METRIC}" if has_dev else None,
        greater_is_better=True,
        report_to="none",
        disable_tqdm=True,
        push_to_hub=False,
        dataloader_drop_last=True,  # without effect on our batches, but the library would warn
        ddp_find_unused_parameters=has_idle_weights(model) if count() > 1 else None,
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # one process drives one device
    check_count(arguments.world_size)
    return arguments


def _own_rates(model: SentenceTransformer, rate: float | None) -> dict[str, float]:
    """Return `rate` by the name of each weight of an embedding, as the library's pattern for names."""
    if rate is None:
        return {}
    embeddings = [module for module in model.modules() if isinstance(module, nn.Embedding | nn.EmbeddingBag)]
    own = {id(value) for module in embeddings for value in module.parameters()}
    return {rf"\b{re.escape(name)}$": rate for name, value in model.named_parameters() if id(value) in own}
