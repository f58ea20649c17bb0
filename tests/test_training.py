"""Contrastive training: it learns, repeats itself, resumes exactly, and keeps duplicates apart."""

import json
import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import InputModule
from torch import nn

from mixbench.data.pairs import Pairs, PairSource, hold_out
from mixbench.errors import InputError, MixbenchError
from mixbench.models.build import build_mixer_encoder
from mixbench.models.tokenizer import load_tokenizer
from mixbench.training.contrastive import Origin, TrainConfig, train_retriever
from mixbench.training.dev import METRIC, dev_evaluator

COLOURS = ["red", "green", "blue", "black", "white", "brown", "pink", "grey"]
THINGS = ["cat", "dog", "house", "boat", "tree"]
VOCABULARY = {
    word: number
    for number, word in enumerate(["", *COLOURS, *THINGS, *(w.upper() for w in COLOURS + THINGS)])
}


class Words(InputModule):
    """The mean of learned word vectors, with dropout: small, and it draws random numbers while training."""

    max_seq_length = 8
    tokenizer = None

    def __init__(self) -> None:
        super().__init__()
        self.vectors = nn.Embedding(len(VOCABULARY), 16, padding_idx=0)
        self.dropout = nn.Dropout(0.1)

    def preprocess(self, inputs, prompt=None, **_):
        rows = [[VOCABULARY.get(word, 0) for word in text.split()][: self.max_seq_length] for text in inputs]
        ids = torch.zeros(len(rows), max(1, *map(len, rows)), dtype=torch.long)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row)
        return {"input_ids": ids, "attention_mask": (ids > 0).long()}

    def forward(self, features, **_):
        mask = features["attention_mask"][..., None]
        vectors = self.dropout(self.vectors(features["input_ids"])) * mask
        return {**features, "sentence_embedding": vectors.sum(1) / mask.sum(1).clamp(min=1)}

    def get_embedding_dimension(self) -> int:
        return 16

    def save(self, output_path, *_, **__):
        save_file(self.state_dict(), Path(output_path) / "model.safetensors")


def words(seed: int = 0) -> SentenceTransformer:
    torch.manual_seed(seed)
    return SentenceTransformer(modules=[Words()], device="cpu", similarity_fn_name="cosine")


def tiny_mixer() -> SentenceTransformer:
    return build_mixer_encoder({"width": 8, "depth": 1, "context": 16}, load_tokenizer(), seed=0)


def synthetic(name: str = "synthetic") -> Pairs:
    """Forty pairs: "red cat" goes with "RED CAT", which an untrained model cannot know."""
    queries = [f"{colour} {thing}" for colour in COLOURS for thing in THINGS]
    return Pairs(name, queries, [query.upper() for query in queries])


def train(output: Path, model: SentenceTransformer | None = None, **changes):
    """Train on 32 synthetic pairs, dev on the other 8; options of `train_retriever` pass through."""
    options = {key: changes.pop(key) for key in ("resume", "overwrite", "origin") if key in changes}
    kept, dev = hold_out(changes.pop("pairs", synthetic()), 8, seed=1)
    config = TrainConfig(
        **{"batch_size": 8, "max_steps": 12, "eval_every": 4, "learning_rate": 0.05, "seed": 3, **changes}
    )
    options.setdefault("origin", Origin(base="words"))
    model = model or words()
    train_retriever(model, [PairSource(pairs=kept)], config, output, dev=[dev], progress=False, **options)
    return load_file(output / "model.safetensors"), json.loads((output / "mixbench.json").read_text())


def largest_difference(a, b) -> float:
    assert a.keys() == b.keys()
    return max((a[name] - b[name]).abs().max().item() for name in a)


def test_training_beats_the_untrained_model_on_pairs_it_never_saw(tmp_path):
    _, record = train(tmp_path / "out", max_steps=30, eval_every=15, learning_rate=0.2)
    scores = dict(record["dev_ndcg_at_10"])
    assert list(scores) == [0, 15, 30]
    assert scores[0] < 0.2
    assert scores[30] > 0.9
    assert record["loss"][-1][1] < record["loss"][0][1] / 2


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path):
    first, _ = train(tmp_path / "first")
    torch.manual_seed(99)
    again, _ = train(tmp_path / "again")
    other, _ = train(tmp_path / "other", seed=4)
    assert largest_difference(first, again) == 0.0
    assert largest_difference(first, other) > 0.01


def test_a_run_stopped_after_every_step_equals_a_straight_one(tmp_path):
    settings = {"max_steps": 6, "eval_every": 2}
    straight, record = train(tmp_path / "straight", **settings)
    _, stopped = train(tmp_path / "steps", max_minutes=1e-9, **settings)
    assert (stopped["steps"], stopped["planned_steps"], stopped["stopped_early"]) == (1, 6, True)
    for _ in range(5):
        resumed, stopped = train(tmp_path / "steps", resume=True, max_minutes=1e-9, **settings)
    assert largest_difference(straight, resumed) == 0.0
    assert (stopped["steps"], stopped["resumed_from"], stopped["stopped_early"]) == (6, 5, False)
    assert all(stopped[key] == record[key] for key in ("dev_ndcg_at_10", "best_step", "examples"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["steps", "straight"]


def test_a_run_killed_within_an_epoch_resumes_from_its_last_whole_checkpoint(tmp_path, monkeypatch):
    straight, _ = train(tmp_path / "straight", eval_every=3)
    model, forward, passes = words(), Words.forward, []

    def killed(self, features, **rest):
        passes.append(self.training)
        if sum(passes) > 10:
            raise KeyboardInterrupt
        return forward(self, features, **rest)

    monkeypatch.setattr(Words, "forward", killed)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed", model, eval_every=3)
    monkeypatch.undo()
    work = tmp_path / ".killed.training"
    assert not (tmp_path / "killed").exists()
    newest = max(
        int(path.parent.name.removeprefix("checkpoint-")) for path in work.glob("checkpoint-*/optimizer.pt")
    )
    assert newest in (3, 9)  # of four steps an epoch; ten passes are ten steps, or five in older libraries
    (work / "checkpoint-99").mkdir()  # cut off while it was written
    resumed, record = train(tmp_path / "killed", eval_every=3, resume=True)
    assert record["resumed_from"] == newest
    assert largest_difference(straight, resumed) == 0.0
    assert not work.exists()


def test_the_weights_of_the_best_dev_score_are_saved(tmp_path):
    model = words()
    train(tmp_path / "good", model, max_steps=30, eval_every=30, learning_rate=0.2)
    kept, dev = hold_out(synthetic(), 8, seed=1)
    wrong = Pairs("wrong", kept.queries, [*kept.positives[7:], *kept.positives[:7]])
    config = TrainConfig(batch_size=8, max_steps=40, eval_every=10, learning_rate=0.2)
    origin = Origin(base="good")
    out = train_retriever(
        model, [PairSource(pairs=wrong)], config, tmp_path / "worse", origin=origin, dev=[dev], progress=False
    )
    record = json.loads((out / "mixbench.json").read_text())
    scores = dict(record["dev_ndcg_at_10"])
    assert record["best_step"] == 10
    assert scores[10] > scores[40] + 0.05
    assert scores[0] > scores[10]
    assert (
        "weights of step 10, the best of this run on dev pairs, though what it started from scores higher"
        in (out / "README.md").read_text().replace("\n", " ")
    )
    assert dev_evaluator([dev], [wrong], config.seed)(model)[METRIC] == pytest.approx(scores[10], abs=1e-5)
    assert largest_difference(load_file(out / "model.safetensors"), model[0].state_dict()) == 0.0


def test_resuming_another_run_is_refused_and_names_the_difference(tmp_path):
    train(tmp_path / "out", max_minutes=1e-9)
    with pytest.raises(InputError, match=r"cannot resume: learning_rate was 0\.05 and now is 0\.01"):
        train(tmp_path / "out", resume=True, learning_rate=0.01)
    with pytest.raises(InputError, match="cannot resume: base_weights_sha256"):
        train(tmp_path / "out", words(seed=1), resume=True)
    with pytest.raises(InputError, match="cannot resume: sources"):
        train(tmp_path / "out", resume=True, pairs=synthetic("renamed"))


def test_nothing_is_overwritten_unasked(tmp_path):
    first, _ = train(tmp_path / "out", max_minutes=1e-9, warmup_ratio=0)
    assert largest_difference(first, words()[0].state_dict()) > 0  # the one step it was given
    with pytest.raises(InputError, match="out: exists already"):
        train(tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "moved")
    with pytest.raises(InputError, match="an unfinished run is here"):
        train(tmp_path / "out")
    second, _ = train(tmp_path / "out", overwrite=True)
    assert largest_difference(first, second) > 0
    with pytest.raises(InputError, match="no checkpoint to resume from"):
        train(tmp_path / "out", resume=True)


def test_a_run_that_diverges_says_so_and_keeps_its_last_good_checkpoint(tmp_path):
    model, steps = words(), []

    def poison(gradient):
        steps.append(1)
        return gradient * float("nan") if len(steps) == 8 else gradient

    model[0].vectors.weight.register_hook(poison)
    advice = "start again with a learning rate below 0.05 or an embedding rate below 0.04$"
    with pytest.raises(MixbenchError, match=rf"diverged at step \d+: .*checkpoint-4; {advice}"):
        train(tmp_path / "out", model, embedding_rate=0.04)
    kept = load_file(tmp_path / ".out.training" / "checkpoint-4" / "weights.safetensors")
    assert all(value.isfinite().all() for value in kept.values())
    assert not (tmp_path / "out").exists()


def test_gradient_caching_gives_the_same_weights(tmp_path):
    models = words(), words()
    for model in models:
        model[0].dropout.p = 0.0
    whole, _ = train(tmp_path / "whole", models[0])
    cached, _ = train(tmp_path / "cached", models[1], mini_batch_size=3)
    assert largest_difference(whole, words()[0].state_dict()) > 0
    assert largest_difference(whole, cached) < 1e-4


def test_the_record_holds_what_a_reader_needs_to_repeat_the_run(tmp_path):
    kept, dev = hold_out(synthetic(), 8, seed=1)
    origin = Origin(
        base="words",
        command="mixbench train-retriever words",
        inherited=["squad"],
        licence="cc0-1.0",
        notes="A note.",
    )
    half = PairSource(
        pairs=kept,
        weight=0.5,
        licence="CC0",
        read_sha256="before",
        excluded={"test_query": 2, "test_document": 1},
    )
    other = PairSource(pairs=Pairs("other", ["black cat", "pink dog"], ["CAT", "DOG"]))
    config = TrainConfig(batch_size=8, epochs=2, temperature=0.1, eval_every=3)
    model = words()
    out = train_retriever(
        model, [half, other], config, tmp_path / "mine", origin=origin, dev=[dev], progress=False
    )
    record, card = json.loads((out / "mixbench.json").read_text()), (out / "README.md").read_text()
    assert record["training_sources"] == ["squad", "synthetic", "other"]
    assert record["sources"][0] == {
        "name": "synthetic",
        "pairs": 32,
        "sha256": kept.sha256,
        "read_sha256": "before",
        "weight": 0.5,
        "licence": "CC0",
        "excluded": {"test_query": 2, "test_document": 1},
    }
    assert record["dev"] == [{"name": "synthetic", "pairs": 8, "sha256": dev.sha256}]
    assert (record["steps"], record["examples"]) == (6, 2 * (8 + 8 + 2))
    assert record["config"]["temperature"] == 0.1
    assert [step for step, _ in record["dev_ndcg_at_10"]] == [0, 3, 6]
    assert [step for step, _ in record["loss"]] == [1, 2, 3, 4, 5, 6]
    assert record["versions"]["torch"] == torch.__version__
    assert model.model_card_data.model_name == "mine"
    for text in (
        "# mine",
        "mixbench train-retriever words",
        kept.sha256,
        "| synthetic | 32 | 0.5 |",
        "cc0-1.0",
    ):
        assert text in card
    assert f"| 6 | {dict(record['loss'])[6]:.4f} | {dict(record['dev_ndcg_at_10'])[6]:.4f} |" in card


def test_embeddings_follow_a_learning_rate_of_their_own(tmp_path):
    (weights, _), (own, record) = (
        train(tmp_path / "all", learning_rate=0.05),
        train(tmp_path / "own", learning_rate=1e-9, embedding_rate=0.05),
    )
    torch.testing.assert_close(own["vectors.weight"], weights["vectors.weight"])
    assert record["config"]["embedding_rate"] == 0.05
    mixer = tiny_mixer()
    before = {name: value.clone() for name, value in mixer.state_dict().items()}
    train(tmp_path / "mixer", mixer, learning_rate=0.05, embedding_rate=1e-9)
    moved = {name: (value - before[name]).abs().max() for name, value in mixer.state_dict().items()}
    assert moved.pop("0.embedding.weight") < 1e-7
    assert min(moved.values()) > 1e-3


def test_a_run_with_two_learning_rates_resumes_exactly(tmp_path):
    rates = {"learning_rate": 0.01, "embedding_rate": 0.05}
    straight, _ = train(tmp_path / "straight", tiny_mixer(), **rates)
    train(tmp_path / "cut", tiny_mixer(), max_minutes=1e-9, **rates)
    resumed, _ = train(tmp_path / "cut", tiny_mixer(), resume=True, **rates)
    assert largest_difference(straight, resumed) == 0.0


def test_without_dev_pairs_the_last_weights_are_saved(tmp_path):
    model = words()
    source, config = PairSource(pairs=synthetic()), TrainConfig(batch_size=8, max_steps=5)
    out = train_retriever(
        model, [source], config, tmp_path / "out", origin=Origin(base="words"), progress=False
    )
    record = json.loads((out / "mixbench.json").read_text())
    assert (record["best_step"], record["dev_ndcg_at_10"], record["dev"]) == (5, [], [])


def test_a_trained_mixer_loads_again_with_the_same_embeddings(tmp_path):
    model = tiny_mixer()
    train(tmp_path / "mixer", model, max_steps=3, eval_every=1, learning_rate=1e-3, max_length=8)
    again = SentenceTransformer(str(tmp_path / "mixer"), device="cpu", trust_remote_code=True)
    texts = ["red cat", "GREEN DOG"]
    assert (again.encode(texts) == model.encode(texts)).all()
    assert again.max_seq_length == 8


def test_training_prints_nothing_and_logs_its_progress(tmp_path, capfd, caplog):
    with caplog.at_level(logging.INFO, logger="mixbench.training"):
        train(tmp_path / "out", max_steps=4)
    output = capfd.readouterr()
    assert (output.out, output.err) == ("", "")
    assert any(line.startswith("step 4/4 loss ") and "dev " in line for line in caplog.messages)


def test_refused_sources_leave_nothing_behind(tmp_path):
    same = PairSource(pairs=Pairs("same", ["a", "b"], ["one passage", "One  passage"]))
    for sources, problem in (([], "at least one source"), ([same], "same: no two of its pairs")):
        with pytest.raises(InputError, match=problem):
            train_retriever(words(), sources, TrainConfig(), tmp_path / "out", origin=Origin(base="words"))
    assert list(tmp_path.iterdir()) == []
