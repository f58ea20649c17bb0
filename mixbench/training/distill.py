"""Distillation: a student is pulled towards a teacher's embeddings and towards its scores within a batch.

Shapes: B pairs, s and S the student's dimension, T the teacher's. Students' embeddings come as they leave the
model, teachers' as unit vectors. Every loss is 0 where the student's cosines are the teacher's, and each is a
mean over texts, so that none grows with the batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, kl_div, normalize

from mixbench.data.pairs import Pairs
from mixbench.training.processes import first, number
from mixbench.training.teacher_store import Encode, TeacherCard, TeacherStore


@dataclass(frozen=True)
class Teacher:
    """A teacher as training is handed it: its store, and what opens it for texts that the store lacks.

    `open` loads the weights, and is called only where a text has no embedding yet.
    """

    store: TeacherStore
    open: Callable[[], Encode]

    @property
    def card(self) -> TeacherCard:
        return self.store.card

    def lessons(self, sources: Sequence[Pairs], device: torch.device) -> "Lessons":
        """Embed what of `sources` is not in the store, and return the embeddings of their rows.

        Of several processes the first embeds, and the others then read the store, which they share.
        """
        queries = [query for pairs in sources for query in pairs.queries]
        positives = [positive for pairs in sources for positive in pairs.positives]
        first(lambda: self._embed(queries, positives))
        if number():
            self.store.reread()
        return Lessons(self.store, queries, positives, device)

    def _embed(self, queries: Sequence[str], positives: Sequence[str]) -> None:
        absent_queries = self.store.missing("query", queries)
        absent_positives = self.store.missing("document", positives)
        if absent_queries or absent_positives:
            encode = self.open()
            self.store.fill("query", absent_queries, encode)
            self.store.fill("document", absent_positives, encode)


class Lessons:
    """The teacher's embeddings of the rows of a training set: queries and positives side by side.

    On a GPU they are one half-precision table of the distinct texts, where that fits into half of the free
    memory; else they stay on disk, memory-mapped, and a batch's rows are read as they are asked for.
    """

    def __init__(
        self, store: TeacherStore, queries: Sequence[str], positives: Sequence[str], device: torch.device
    ) -> None:
        self.store, self.device = store, device
        self.dimension = store.card.dimension
        places = np.concatenate([store.places_of("query", queries), store.places_of("document", positives)])
        self.places, numbers = np.unique(places, axis=0, return_inverse=True)
        self.numbers = torch.from_numpy(numbers.reshape(2, -1))  # distinct text of each row, by side
        self.table: Tensor | None = None
        if device.type == "cuda" and 4 * len(self.places) * self.dimension < _free_bytes(device):
            self.table = torch.from_numpy(store.gather(self.places)).to(device)
            self.numbers = self.numbers.to(device)

    def of(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the teacher's embeddings (B, T) of the queries and of the positives at `rows` (B)."""
        numbers_2B = self.numbers[:, rows.to(self.numbers.device)]
        if self.table is not None:
            queries_BT, positives_BT = self.table[numbers_2B].float()
        else:
            read = (torch.from_numpy(self.store.gather(self.places[side])) for side in numbers_2B.numpy())
            queries_BT, positives_BT = (each.float().to(self.device) for each in read)
        return queries_BT, positives_BT


def _free_bytes(device: torch.device) -> int:
    return int(torch.cuda.mem_get_info(device)[0])


class EmbeddingLoss(nn.Module):
    """The mean of 1 - cos(P s, t) over queries and positives.

    P is a learned linear projection for each student dimension of `widths` that is not the teacher's (several
    with nested embeddings), and nothing where they agree. It serves training alone and is thrown away after.
    """

    def __init__(self, widths: Sequence[int], teacher_width: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.projections = nn.ParameterDict(
            {
                str(width): nn.init.orthogonal_(torch.empty(teacher_width, width), generator=generator)
                for width in sorted({*widths} - {teacher_width})
            }
        )

    def forward(self, students: tuple[Tensor, Tensor], teachers: tuple[Tensor, Tensor]) -> Tensor:
        distances = [
            1 - cosine_similarity(self._projected(student_BS), teacher_BT, dim=1)
            for student_BS, teacher_BT in zip(students, teachers, strict=True)
        ]
        return torch.stack(distances).mean()

    def _projected(self, student_BS: Tensor) -> Tensor:
        name = str(student_BS.shape[1])
        if name not in self.projections:
            return student_BS
        projected_BT: Tensor = student_BS @ self.projections[name].T
        return projected_BT


class ScoreLoss(nn.Module):
    """KL(softmax(teacher's cosines / temperature) || softmax(student's)) of each query over the positives."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, students: tuple[Tensor, Tensor], teachers: tuple[Tensor, Tensor]) -> Tensor:
        return _divergence(_cosines(*students), _cosines(*teachers), self.temperature)


class PassageScoreLoss(nn.Module):
    """The same of each positive over the other positives: never itself, whose cosine is always 1."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, students: tuple[Tensor, Tensor], teachers: tuple[Tensor, Tensor]) -> Tensor:
        student, teacher = students[1], teachers[1]
        own, other = _cosines(student, student), _cosines(teacher, teacher)
        return _divergence(_off_diagonal(own), _off_diagonal(other), self.temperature)


def _cosines(left_BS: Tensor, right_BS: Tensor) -> Tensor:
    return normalize(left_BS, dim=1) @ normalize(right_BS, dim=1).T


def _off_diagonal(square_BB: Tensor) -> Tensor:
    """Return (B, B - 1): each row without its entry on the diagonal."""
    size = len(square_BB)
    return square_BB.flatten()[1:].reshape(size - 1, size + 1)[:, :-1].reshape(size, size - 1)


def _divergence(student_BN: Tensor, teacher_BN: Tensor, temperature: float) -> Tensor:
    own, target = ((scores / temperature).log_softmax(1) for scores in (student_BN, teacher_BN))
    return kl_div(own, target, reduction="batchmean", log_target=True)


class Distillation(nn.Module):
    """The sum of the three losses."""

    def __init__(self, lessons: Lessons, widths: Sequence[int], temperature: float, seed: int) -> None:
        super().__init__()
        self.lessons = lessons
        self.terms = nn.ModuleList(
            [
                EmbeddingLoss(widths, lessons.dimension, seed),
                ScoreLoss(temperature),
                PassageScoreLoss(temperature),
            ]
        )

    def forward(self, embeddings: Sequence[Tensor], rows: Tensor) -> Tensor:
        """Return the loss of a batch: embeddings (B, S) of queries and positives, and their row numbers."""
        queries, positives = embeddings
        teachers = self.lessons.of(rows)
        losses: list[Tensor] = [term((queries, positives), teachers) for term in self.terms]
        return torch.stack(losses).sum()
