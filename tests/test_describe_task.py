"""A task named by mteb, `mteb:NAME`, as mteb itself describes it."""

import pytest

from mixbench.errors import MixbenchError, UnknownName
from mixbench.interop.mteb.data import describe_task
from mixbench.tasks import Task


def test_a_task_of_mteb_is_described_by_mteb() -> None:
    task = Task(name="mteb/QuoraRetrieval", **describe_task("QuoraRetrieval"))
    assert (task.mteb, task.folder, task.eval_split) == ("QuoraRetrieval", "QuoraRetrieval", "test")
    assert (task.main_metric, task.remove_identical, task.parts) == ("ndcg_at_10", True, {})
    forums = Task(name="mteb/CQADupstackRetrieval", **describe_task("CQADupstackRetrieval"))
    assert len(forums.parts) == 12
    assert forums.parts["CQADupstackUnixRetrieval"] == "CQADupstackUnixRetrieval"
    assert Task(name="mteb/MSMARCO", **describe_task("MSMARCO")).eval_split == "dev"


def test_a_licence_is_open_only_where_mteb_names_an_open_one() -> None:
    licences = {
        name: describe_task(name)["licence"] for name in ("SciFact", "NFCorpus", "SCIDOCS", "ArguAna")
    }
    opened = {name for name in licences if describe_task(name)["redistribute"]}
    assert licences["SciFact"] == "cc-by-nc-4.0"
    assert opened == {name for name, licence in licences.items() if licence.startswith("cc-by-sa")}


def test_an_unknown_task_of_mteb_is_met_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"unknown mteb task 'SciFacts'; did you mean 'SciFact'"):
        describe_task("SciFacts")
    with pytest.raises(MixbenchError, match="'STS12' of mteb is STS of text; only retrieval of text"):
        describe_task("STS12")
