"""sentence-transformers' trainer, with checkpoints that load without running a model folder's code.

A checkpoint is the live model's weights in one safetensors file beside the optimiser, schedule, random state
and history that transformers writes, and where there are any the average of the weights and what the loss has
learned for itself. Loading puts the weights back into the live model, bit for bit. The library instead builds
a second model from the folder, and where that fails (a module of ours, without `trust_remote_code`) goes on
with the last weights and says so in a log line only.
"""

import math
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate.data_loader import prepare_data_loader
from safetensors.torch import load_file, load_model, save_file, save_model
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
)
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from transformers import TrainerState

from mixbench.data.pairs import Pairs
from mixbench.errors import MixbenchError
from mixbench.full_disk import writing
from mixbench.retrievers.attention import attention_of_any_shape
from mixbench.training.arguments import training_arguments
from mixbench.training.averaging import WeightAverage
from mixbench.training.batches import OneSourceBatches
from mixbench.training.callbacks import Averaging
from mixbench.training.collating import Collator, Column
from mixbench.training.compiling import compiled_blocks
from mixbench.training.config import TrainConfig
from mixbench.training.distill import Teacher
from mixbench.training.gathering import average_gradients
from mixbench.training.hard_negatives import HardNegatives
from mixbench.training.objective import CachedObjective, build_loss
from mixbench.training.processes import count, number, together
from mixbench.training.resuming import check_moments, reading
from mixbench.training.workspace import STATE_FILE

WEIGHTS_FILE, LOSS_FILE = "weights.safetensors", "loss.safetensors"


class CheckpointTrainer(SentenceTransformerTrainer):
    """The trainer with our batches and our checkpoints; makes no model card and asks no hub."""

    def __init__(
        self,
        batches: OneSourceBatches,
        folder: Path,
        average: WeightAverage | None,
        *,
        compiles: bool,
        **arguments: Any,
    ) -> None:
        self.batches = batches
        self.folder = folder
        self.average = average
        self.compiles = compiles
        super().__init__(**arguments)
        assert isinstance(self.loss, nn.Module)
        self.caches_gradients = any(isinstance(part, CachedObjective) for part in self.loss.modules())
        if average is not None:
            self.add_callback(Averaging(average))

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return what gives each process the rows of whole batches; its collator takes its share of them."""
        dataset: Any = self.train_dataset
        loader: DataLoader[Any] = DataLoader(
            dataset,
            batch_sampler=self.batches,
            collate_fn=self.data_collator,
            pin_memory=self.args.dataloader_pin_memory,
        )
        # Copied without waiting, else a GPU stands still while the next batch is tokenised and cut.
        prepared: DataLoader[Any] = prepare_data_loader(
            loader, self.args.device, num_processes=1, process_index=0, put_on_device=True, non_blocking=True
        )
        return prepared

    def collect_features(self, inputs: dict[str, Any]) -> tuple[list[Column], Tensor]:
        """Return what the loss is called with: the columns of a batch, and its rows."""
        return inputs["columns"], inputs["rows"]

    def training_step(self, model: nn.Module, *arguments: Any, **settings: Any) -> Tensor:
        """Take a step's gradients; with cached ones processes meet after the last of their mini-batches."""
        if count() == 1 or not self.caches_gradients:
            return super().training_step(model, *arguments, **settings)
        assert isinstance(model, DistributedDataParallel)
        with model.no_sync():  # some releases of the library would meet after each, and some have fewer
            loss = super().training_step(model, *arguments, **settings)
        average_gradients(model)
        return loss

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Do nothing: the card is written from the record, once."""

    def _save_checkpoint(self, *arguments: Any, **settings: Any) -> None:
        """Write a checkpoint; where that fails, leave none of it and keep those before."""
        made = self.folder / f"checkpoint-{self.state.global_step}"
        try:
            with together(), writing(made):
                super()._save_checkpoint(*arguments, **settings)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise

    def save_model(self, *arguments: Any, **settings: Any) -> None:
        with together():  # in these steps, since the library lets the processes meet between them
            if number() == 0:
                super().save_model(*arguments, **settings)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        with together():
            super()._save_optimizer_and_scheduler(output_dir)

    def _save_rng_state(self, output_dir: str) -> None:
        with together():  # so that the state file, which makes a checkpoint whole, comes after all of them
            super()._save_rng_state(output_dir)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Write the weights.

        Raises:
            MixbenchError: one of them is not finite; checkpoints written before stay.
        """
        self.check_finite()
        folder = Path(output_dir or self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_model(self.model, str(folder / WEIGHTS_FILE))
        if self.average is not None:
            self.average.save(folder)
        if own := self._loss_weights():
            save_file({name: value.detach().contiguous() for name, value in own.items()}, folder / LOSS_FILE)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        folder = Path(resume_from_checkpoint)
        with reading(folder):
            TrainerState.load_from_json(str(folder / STATE_FILE))
            load_model(self.model, folder / WEIGHTS_FILE)
            if self.average is not None:
                self.average.load(folder)
            if own := self._loss_weights():
                stored = load_file(folder / LOSS_FILE)
                for name, value in own.items():
                    value.data.copy_(stored[name].reshape(value.shape))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Put the optimiser back. Raises CheckpointError where its state cannot be used."""
        if checkpoint is None:
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        with reading(Path(checkpoint)):
            for name in ("optimizer.pt", "scheduler.pt"):
                if not (Path(checkpoint) / name).is_file():  # the library would go on without it
                    raise FileNotFoundError(f"it holds no {name}")
            super()._load_optimizer_and_scheduler(checkpoint)
            assert self.optimizer is not None
            check_moments(self.optimizer)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        with nullcontext() if checkpoint is None else reading(Path(checkpoint)):
            super()._load_rng_state(checkpoint)

    def _loss_weights(self) -> dict[str, Tensor]:
        """Return the parameters that the loss has beside the model's: projections to a teacher."""
        of_model = {id(parameter) for parameter in self.model.parameters()}
        assert isinstance(self.loss, nn.Module)
        named = self.loss.named_parameters()
        return {name: value for name, value in named if id(value) not in of_model}

    @attention_of_any_shape()
    def train(self, *arguments: Any, **settings: Any) -> Any:
        """Train, compiled if that is wanted, and by attention that suits chunks of many shapes."""
        compiled = compiled_blocks(self.model[0]) if self.compiles else nullcontext()
        with compiled:
            return super().train(*arguments, **settings)

    def evaluate(self, *arguments: Any, **settings: Any) -> dict[str, float]:
        """Score the model as it would be published: by the average of its weights where there is one.

        Blocks are not compiled once more for it: that takes longer than all texts without gradients.
        """
        average = nullcontext() if self.average is None else self.average.installed()
        with average, torch.compiler.set_stance("force_eager"):
            scores: dict[str, float] = super().evaluate(*arguments, **settings)
        return scores

    def settle(self, step: int | None = None) -> None:
        """Put the weights to publish into the model: those of now, or those of the checkpoint of `step`."""
        folder = self.folder / f"checkpoint-{step}"
        if step is not None:
            with reading(folder):
                if self.average is None:
                    load_model(self.model, folder / WEIGHTS_FILE)
                else:
                    self.average.load(folder)
        if self.average is not None:
            self.average.install()

    def check_finite(self) -> None:
        """Raise if a weight has become infinite or no number."""
        for name, value in self.model.named_parameters():
            if not value.isfinite().all():
                self.diverged(f"weight {name!r} is not finite")

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Record `logs`, unless the loss in them is not finite."""
        with together():
            if not math.isfinite(logs.get("loss", 0.0)):
                self.diverged(f"the loss is {logs['loss']}")
        super().log(logs, start_time)

    def diverged(self, what: str) -> None:
        """Raise the one-line error for a run that has left the numbers."""
        kept = sorted(self.folder.glob("checkpoint-*"), key=lambda path: int(path.name[11:]))
        saved = f"the last good checkpoint is {kept[-1]}" if kept else "no checkpoint was written before"
        rates = f"a learning rate below {self.args.learning_rate:g}"
        own = self.args.learning_rate_mapping
        if isinstance(own, dict) and own:
            rates += f" or an embedding rate below {max(own.values()):g}"
        raise MixbenchError(
            f"training diverged at step {self.state.global_step}: {what}; {saved}; start again with {rates}"
        )


def build_trainer(
    model: SentenceTransformer,
    sources: Sequence[Pairs],
    config: TrainConfig,
    work: Path,
    evaluator: InformationRetrievalEvaluator | None,
    teacher: Teacher | None = None,
) -> CheckpointTrainer:
    """Return the trainer of `model` on `sources`, its checkpoints going to the folder `work`.

    A row of its data set is a number; the collator knows its texts, and a teacher's lessons their embeddings.

    Raises:
        InputError: a source gives no batch, or no pair has a hard negative where they are asked for.
    """
    from datasets import Dataset

    with together():
        batches = OneSourceBatches(sources, config.batch_size, config.seed)
        negatives = HardNegatives(sources, batches, config.hard_negatives) if config.hard_negatives else None
    steps = config.max_steps or max(1, math.ceil(config.epochs * len(batches)))
    columns = {
        "query": [query for pairs in sources for query in pairs.queries],
        "positive": [positive for pairs in sources for positive in pairs.positives],
    }
    rows = range(len(columns["query"]))
    columns["positive"] += [] if negatives is None else negatives.texts
    prompts = {"query": model.prompts.get("query"), "positive": model.prompts.get("document")}
    lessons = None if teacher is None else teacher.lessons(sources, model.device)
    return CheckpointTrainer(
        batches,
        work,
        None if config.average is None else WeightAverage(model, config.average),
        compiles=config.compile,
        model=model,
        args=training_arguments(model, config, work, steps, evaluator is not None),
        data_collator=Collator(
            model,
            columns,
            prompts,
            whole=config.mini_batch_size is not None,
            further=None if negatives is None else negatives.draw,
        ),
        train_dataset=Dataset.from_dict({"row": rows}),
        loss=build_loss(model, config, lessons),
        evaluator=evaluator,
    )
