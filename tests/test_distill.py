"""Distillation: what its losses are, what a teacher's store keeps, and that a student nears its teacher."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from test_training import largest_difference, synthetic, words
from torch.nn.functional import normalize

from mixbench.data.pairs import Pairs, PairSource, hold_out
from mixbench.errors import CheckpointError, InputError, MixbenchError
from mixbench.training.config import TrainConfig
from mixbench.training.contrastive import Origin, train_retriever
from mixbench.training.distill import EmbeddingLoss, Lessons, PassageScoreLoss, ScoreLoss, Teacher
from mixbench.training.teacher_store import TeacherCard, TeacherStore, text_key

E = math.e
CPU = torch.device("cpu")


def encode(side, texts, dimension=24):
    """Word vectors of a fixed draw, upper case and lower case alike, the side without effect."""
    rows = np.random.default_rng(5).normal(size=(257, dimension))
    return np.stack([sum(rows[sum(map(ord, w)) % 257] for w in text.lower().split()) for text in texts])


def refuse():
    raise AssertionError("the teacher was opened")


def store(root: Path, dimension: int = 24) -> TeacherStore:
    card = TeacherCard(name="sage", sha256="a" * 64, training_sources=("nq",), dimension=dimension)
    return TeacherStore(root, card)


def teacher(root: Path) -> Teacher:
    return Teacher(store(root), lambda: encode)


def train(output: Path, model=None, taught_by: Teacher | None = None, resume=False, dropout=True, **changes):
    kept, dev = hold_out(synthetic(), 8, seed=1)
    settings = {"batch_size": 8, "max_steps": 8, "eval_every": 4, "learning_rate": 0.05, "seed": 3}
    model = model or words()
    if not dropout:
        model[0].dropout.p = 0.0
    train_retriever(
        model, [PairSource(pairs=kept)], TrainConfig(**settings | changes), output,
        origin=Origin(base="words", inherited=["squad"]), dev=[dev], teacher=taught_by, resume=resume,
        overwrite=False, progress=False,
    )  # fmt: skip
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    return weights, json.loads((output / "mixbench.json").read_text())


def test_a_student_that_is_its_teacher_has_no_loss():
    torch.manual_seed(0)
    both = (torch.randn(5, 8), torch.randn(5, 8))
    for loss in (EmbeddingLoss([8], 8, seed=0), ScoreLoss(0.05), PassageScoreLoss(0.05)):
        assert loss(both, both).item() == pytest.approx(0, abs=1e-6)
        assert loss(both, (both[0], both[1].flip(0))).item() > 0.1


def test_the_score_loss_of_an_undecided_student_is_worked_by_hand():
    axes, same = torch.eye(2), torch.ones(2, 2)
    # Teacher: cosines 1 and 0. Student: all cosines 1, so one half each.
    p = E / (1 + E)
    expected = p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p))
    assert ScoreLoss(1.0)((same, same), (axes, axes)).item() == pytest.approx(expected)
    # At half the temperature the teacher is as sure as with cosines of 2 and 0.
    p = E**2 / (1 + E**2)
    expected = p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p))
    assert ScoreLoss(0.5)((same, same), (axes, axes)).item() == pytest.approx(expected)


def test_the_passage_loss_leaves_out_each_passage_itself():
    # Teacher: two equal passages and one across. Student: all alike.
    queries, positives = torch.ones(3, 2), torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    p = E / (1 + E)  # of the first two: the twin has cosine 1, the third 0; of the third both have 0
    expected = 2 / 3 * (p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p)))
    loss = PassageScoreLoss(1.0)((queries, torch.ones(3, 2)), (queries, positives))
    assert loss.item() == pytest.approx(expected)


def test_the_embedding_loss_is_the_mean_distance_of_queries_and_positives():
    students = (torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 2.0]]))
    teachers = (torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]]))
    loss = EmbeddingLoss([2], 2, seed=0)
    assert loss(students, teachers).item() == pytest.approx((1 + 1 - 0.5**0.5) / 2)
    assert list(loss.parameters()) == []


def test_a_projection_is_learned_for_each_width_that_is_not_the_teachers():
    loss = EmbeddingLoss([2, 3, 5], 3, seed=0)
    assert {name: tuple(value.shape) for name, value in loss.projections.items()} == {
        "2": (3, 2),
        "5": (3, 5),
    }
    student = torch.tensor([[3.0, 4.0]])
    mirrored = student @ loss.projections["2"].T
    assert loss((student, student), (mirrored, mirrored)).item() == pytest.approx(0, abs=1e-6)


def test_lessons_find_the_teachers_embeddings_by_row(tmp_path):
    pairs = [Pairs("a", ["red cat", "blue dog"], ["x y", "red cat"]), Pairs("b", ["pink"], ["x y"])]
    lessons = teacher(tmp_path).lessons(pairs, CPU)
    queries, positives = lessons.of(torch.tensor([2, 0]))
    expected = [
        torch.tensor(encode("query", texts)).float() for texts in (["pink", "red cat"], ["x y", "x y"])
    ]
    for found, true in zip((queries, positives), expected, strict=True):
        assert torch.allclose(found, normalize(true, dim=1), atol=1e-3)


def test_a_store_keeps_each_text_once_and_is_read_without_the_teacher(tmp_path):
    pairs = [synthetic()]
    before = teacher(tmp_path).lessons(pairs, CPU).of(torch.arange(40))
    files = sorted(tmp_path.rglob("*.npy"))
    after = Teacher(store(tmp_path), refuse).lessons(pairs, CPU).of(torch.arange(40))
    assert all(torch.equal(first, second) for first, second in zip(before, after, strict=True))
    asked = []

    def counted(side, texts):
        asked.extend(texts)
        return encode(side, texts)

    more = Pairs("more", ["red cat", "new words"], ["RED CAT", "newer"])
    Teacher(store(tmp_path), lambda: counted).lessons([more], CPU)
    assert asked == ["new words", "newer"]
    assert set(files) < set(tmp_path.rglob("*.npy"))
    assert not list(tmp_path.rglob(".part-*"))


def test_a_text_has_one_embedding_as_a_query_and_another_as_a_document(tmp_path):
    assert text_key("query", "a") != text_key("document", "a")
    kept = store(tmp_path)
    kept.fill("query", ["a"], encode)
    assert kept.missing("document", ["a", "a"]) == ["a"]
    with pytest.raises(InputError, match="a document has no embedding here"):
        Lessons(kept, ["a"], ["a"], CPU)


def test_a_store_of_another_dimension_or_damaged_is_refused(tmp_path):
    store(tmp_path).fill("query", ["a", "b"], encode)
    with pytest.raises(CheckpointError, match=r"'sage' in 24 dimensions, not of 'sage' in 8"):
        store(tmp_path, dimension=8)
    (vectors,) = tmp_path.rglob("vectors.npy")
    whole = vectors.read_bytes()
    np.save(vectors, np.zeros((2, 8), dtype=np.float16))
    with pytest.raises(CheckpointError, match=r"holds float16 of shape \(2, 8\)"):
        store(tmp_path)
    vectors.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        store(tmp_path)
    (card,) = tmp_path.rglob("teacher.json")
    card.write_text("{}")
    with pytest.raises(CheckpointError, match="no teacher's card can be read here"):
        store(tmp_path)


def test_a_teacher_that_gives_no_numbers_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(MixbenchError, match="teacher 'sage' gave embeddings of shape"):
        store(tmp_path).fill("query", ["a"], lambda side, texts: np.full((1, 24), np.nan))
    assert not list(tmp_path.rglob("*.npy"))


def agreement(model, taught_by: Teacher) -> float:
    """Return the correlation of the student's cosines with the teacher's, of each query to each positive."""
    pairs = synthetic()
    rows = torch.arange(len(pairs))
    target = taught_by.lessons([pairs], CPU).of(rows)
    own = [normalize(torch.tensor(model.encode(texts)), dim=1) for texts in (pairs.queries, pairs.positives)]
    cosines = [(queries @ positives.T).flatten() for queries, positives in (own, target)]
    return torch.corrcoef(torch.stack(cosines))[0, 1].item()


def test_pure_distillation_brings_a_student_to_its_teacher(tmp_path):
    model, taught_by = words(), teacher(tmp_path / "store")
    before = agreement(model, taught_by)
    train(
        tmp_path / "out", model, taught_by, infonce_weight=0, max_steps=60, eval_every=60, learning_rate=0.2
    )
    assert before < 0.1
    assert agreement(model, taught_by) > 0.7


def test_the_record_names_the_teacher_and_what_it_was_trained_on(tmp_path):
    _, record = train(tmp_path / "out", taught_by=teacher(tmp_path / "store"), teacher_weight=0.5)
    assert (record["teacher"], record["teacher_sha256"]) == ("sage", "a" * 64)
    assert record["training_sources"] == ["squad", "nq", "synthetic"]
    assert record["config"]["teacher_weight"] == 0.5
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Distilled from `sage`" in card
    assert "1 InfoNCE + 0.5 distillation" in card
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.safetensors")) == ["model.safetensors"]


def test_gradient_caching_gives_the_same_student(tmp_path):
    settings = {"dropout": False, "matryoshka": (4,), "both_directions": True}
    whole, _ = train(tmp_path / "whole", taught_by=teacher(tmp_path), **settings)
    cached, _ = train(tmp_path / "cached", taught_by=teacher(tmp_path), mini_batch_size=3, **settings)
    plain, _ = train(tmp_path / "plain", dropout=False)
    assert largest_difference(whole, cached) < 1e-4
    assert largest_difference(whole, plain) > 1e-2


def test_a_student_stopped_after_every_step_equals_a_straight_one(tmp_path):
    settings = {"max_steps": 5, "eval_every": 2, "average": 0.9, "schedule": "cosine", "matryoshka": (4,)}
    straight, record = train(tmp_path / "straight", taught_by=teacher(tmp_path / "s"), **settings)
    for step in range(5):
        resumed, again = train(
            tmp_path / "steps",
            taught_by=teacher(tmp_path / "s"),
            resume=step > 0,
            max_minutes=1e-9,
            **settings,
        )
    assert largest_difference(straight, resumed) == 0.0
    assert again["dev_ndcg_at_10"] == record["dev_ndcg_at_10"]


def test_a_run_is_not_resumed_with_another_teacher(tmp_path):
    train(tmp_path / "out", taught_by=teacher(tmp_path / "s"), max_minutes=1e-9)
    other = TeacherCard(name="sage", sha256="b" * 64, training_sources=None, dimension=24)
    swapped = Teacher(TeacherStore(tmp_path / "s", other), lambda: encode)
    with pytest.raises(InputError, match="cannot resume: teacher_sha256"):
        train(tmp_path / "out", taught_by=swapped, resume=True)


def test_pure_distillation_without_a_teacher_is_refused(tmp_path):
    with pytest.raises(InputError, match="infonce_weight 0 leaves nothing to learn from"):
        train(tmp_path / "out", infonce_weight=0)
    assert list(tmp_path.iterdir()) == []
