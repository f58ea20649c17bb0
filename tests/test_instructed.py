"""Models that are instructed: e5-mistral-7b-instruct by its name, its weights those of a tiny Mistral."""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import huggingface_hub.constants
import mteb
import pytest
import torch
from datasets import Dataset
from mteb.types import PromptType
from tiny_data import make_folder, make_task
from tiny_mistral import NAME, REVISION, make_snapshot
from torch.utils.data import DataLoader
from transformers import AutoTokenizer, MistralModel

from mixbench.data import Document
from mixbench.errors import InputError, MixbenchError
from mixbench.experiments.systems import EncoderOptions, open_system, prepare
from mixbench.interop.mteb.instructions import instructed_details, query_instruction
from mixbench.models.load import load_model
from mixbench.results import find_results
from mixbench.retrievers.instructed import DEFAULT_INSTRUCTION, InstructedRetriever

CLAIMS = "Given a scientific claim, retrieve documents that support or refute the claim"
TEXTS = ["lift of a wing", "a", "the moon moves the sea and the sea moves the sand"]
FLOAT32 = EncoderOptions(offline=True, dtype="float32")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    hub = tmp_path_factory.mktemp("home") / "hub"
    make_snapshot(hub)
    return hub


@pytest.fixture
def _cached(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process find the model; the hub's client reads the environment once, when it is imported."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(hub))


@pytest.fixture
def snapshot(hub: Path) -> Path:
    return hub / f"models--{NAME.replace('/', '--')}" / "snapshots" / REVISION


def opened(
    options: EncoderOptions = FLOAT32, name: str = NAME, mteb_task: str | None = None
) -> InstructedRetriever:
    found = prepare(open_system(name, options), make_task(mteb=mteb_task))
    assert isinstance(found, InstructedRetriever)
    return found


def worked_out(snapshot: Path, texts: Sequence[str]) -> torch.Tensor:
    """The state of </s> after each text, alone and so unpadded, in unit length: by transformers alone."""
    tokenizer = AutoTokenizer.from_pretrained(snapshot)
    network = MistralModel.from_pretrained(snapshot, dtype=torch.float32).eval()
    rows = []
    for text in texts:
        ids = [1, *tokenizer(text, add_special_tokens=False)["input_ids"], 2]
        with torch.no_grad():
            rows.append(network(input_ids=torch.tensor([ids])).last_hidden_state[0, -1])
    return torch.nn.functional.normalize(torch.stack(rows), dim=1)


def scores(retriever: InstructedRetriever, query: str) -> dict[str, float]:
    retriever.index([Document(f"d{number}", "", text) for number, text in enumerate(TEXTS)])
    return dict(retriever.search([query], 3)[0])


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.usefixtures("_cached")
def test_scores_are_those_of_the_end_token_after_the_instructed_query(snapshot: Path, side: str) -> None:
    retriever = opened(mteb_task="SciFact")
    retriever.model.tokenizer.padding_side = side
    found = scores(retriever, "wing")
    (query,) = worked_out(snapshot, [f"Instruct: {CLAIMS}\nQuery: wing"])
    expected = (worked_out(snapshot, TEXTS) @ query).tolist()
    assert [found[f"d{number}"] for number in range(3)] == pytest.approx(expected, abs=1e-6)
    (bare,) = worked_out(snapshot, ["wing"])
    assert max(abs(worked_out(snapshot, TEXTS) @ bare - torch.tensor(expected))) > 1e-3


@pytest.mark.usefixtures("_cached")
def test_embeddings_are_those_of_mteb_for_queries_and_documents() -> None:
    ours = opened(EncoderOptions(offline=True), mteb_task="SciFact")
    task = mteb.get_task("SciFact").metadata
    place = {"task_metadata": task, "hf_split": "test", "hf_subset": "default"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = mteb.get_model(NAME)
        loader = DataLoader(Dataset.from_dict({"text": TEXTS}), batch_size=3)
        queries, documents = (
            torch.as_tensor(theirs.encode(loader, prompt_type=kind, **place)).float()
            for kind in (PromptType.query, PromptType.document)
        )
    assert ours.recipe["dtype"] == "float16"
    corpus = [Document("", "", text) for text in TEXTS]
    torch.testing.assert_close(ours.encode_queries(TEXTS).float(), queries, atol=2e-3, rtol=0)
    torch.testing.assert_close(ours.encode_documents(corpus).float(), documents, atol=2e-3, rtol=0)
    assert (queries - documents).abs().max() > 0.01


def test_the_end_token_that_the_configuration_asks_for_is_added_once_and_survives_a_cut(
    snapshot: Path,
) -> None:
    model = load_model(snapshot)
    tokenizer = model.tokenizer
    assert tokenizer("a wing")["input_ids"] == [
        1,
        *tokenizer("a wing", add_special_tokens=False)["input_ids"],
        2,
    ]
    model.max_seq_length = 4
    assert model.preprocess(["a wing"])["input_ids"].tolist() == [[1, 36, 3, 2]]


def test_a_tokenizer_that_is_not_asked_for_an_end_token_adds_none(tmp_path: Path) -> None:
    snapshot = make_snapshot(tmp_path)
    settings = json.loads((snapshot / "tokenizer_config.json").read_text())
    (snapshot / "tokenizer_config.json").write_text(json.dumps(settings | {"add_eos_token": False}))
    assert load_model(snapshot).tokenizer("a")["input_ids"] == [1, 36, 3]


@pytest.mark.usefixtures("_cached")
def test_each_task_has_its_instruction_and_all_have_one_recipe() -> None:
    system = open_system(NAME, FLOAT32)
    on_facts, on_covid = (prepare(system, make_task(mteb=name)) for name in ("SciFact", "TRECCOVID"))
    elsewhere = prepare(system, make_task())
    assert [each.query_prefix for each in (on_facts, on_covid, elsewhere)] == [
        f"Instruct: {instruction}\nQuery: "
        for instruction in (
            CLAIMS,
            "Given a query on COVID-19, retrieve documents that answer the query",
            DEFAULT_INSTRUCTION,
        )
    ]
    assert on_facts.recipe == on_covid.recipe == elsewhere.recipe
    assert elsewhere.recipe["query_prompt"] == "Instruct: {instruction}\nQuery: "
    assert elsewhere.recipe["instructions"] == f"mteb {mteb.__version__}"
    assert elsewhere.recipe["default_instruction"] == DEFAULT_INSTRUCTION
    assert elsewhere.document_prompt == ""


@pytest.mark.usefixtures("_cached")
def test_an_instruction_or_a_prompt_of_ones_own_takes_the_place_of_the_tasks() -> None:
    own = prepare(
        open_system("e5-mistral", EncoderOptions(offline=True, instruction="Find the text.")),
        make_task(mteb="SciFact"),
    )
    assert own.recipe["query_prompt"] == "Instruct: Find the text.\nQuery: "
    assert "instructions" not in own.recipe
    bare = prepare(
        open_system(NAME, EncoderOptions(offline=True, query_prompt="")), make_task(mteb="SciFact")
    )
    assert bare.recipe["query_prompt"] == ""
    assert own.name == bare.name == NAME


def test_a_folder_of_the_same_files_is_instructed_by_its_query_prompt(snapshot: Path) -> None:
    options = EncoderOptions(dtype="float32", query_prompt="Instruct: {instruction}\nQuery: ")
    found = opened(options, str(snapshot), "SciFact")
    (query,) = worked_out(snapshot, [f"Instruct: {CLAIMS}\nQuery: wing"])
    expected = (worked_out(snapshot, TEXTS) @ query).tolist()
    assert sorted(scores(found, "wing").values()) == pytest.approx(sorted(expected), abs=1e-6)


def test_an_instruction_without_a_place_for_it_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"'untrained-tiny' has no \{instruction\} for --instruction to fill"
    ):
        open_system("tiny", EncoderOptions(instruction="Find the text."))


def test_only_models_that_can_be_followed_wholly_are_taken_from_mteb() -> None:
    details = instructed_details(NAME)
    assert details is not None
    assert (details.revision, details.dtype) == (REVISION, "float16")
    assert (details.query_prompt, details.document_prompt) == ("Instruct: {instruction}\nQuery: ", "")
    assert details.training_datasets is not None
    assert {"FEVER", "HotpotQA", "MSMARCO"} <= set(details.training_datasets)
    # Instructed documents, instructions of its own, foreign code, no instructions at all.
    for name in (
        "McGill-NLP/AfriE5-Large-instruct",
        "papr-ai/papr-embed-code-1-4b",
        "Salesforce/SFR-Embedding-Mistral",
        "intfloat/e5-small-v2",
    ):
        assert instructed_details(name) is None


def test_a_task_without_an_instruction_has_that_of_its_kind() -> None:
    assert query_instruction("SciFact") == CLAIMS
    assert query_instruction("Touche2020Retrieval.v3") == "Retrieve text based on user query."
    assert query_instruction("CQADupstackRetrieval") == "Retrieve text based on user query."


def test_4_bit_weights_embed_nearly_as_the_full_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("bitsandbytes", reason="4-bit weights need the extra 4bit")
    snapshot = make_snapshot(tmp_path, width=64)
    full = load_model(str(snapshot))
    small = load_model(str(snapshot), four_bit=True, dtype="float32")

    kinds = {type(weight).__name__ for weight in small.parameters()}
    cosine = (full.encode(TEXTS) * small.encode(TEXTS)).sum(1)

    assert "Params4bit" in kinds
    assert (cosine > 0.98).all()
    assert (cosine < 0.999999).any(), "rounding to 16 levels cannot be exact"


@pytest.mark.usefixtures("_cached")
def test_4_bit_weights_without_their_package_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MixbenchError, match=r"4-bit weights need a package: pip install 'mixbench\[4bit\]'"):
        open_system(NAME, EncoderOptions(offline=True, load_in_4bit=True))


def test_eval_runs_it_by_its_official_name_offline_as_one_model_on_two_tasks(
    hub: Path, tmp_path: Path
) -> None:
    make_folder(tmp_path / "data" / "tiny")
    (tmp_path / "tasks" / "zoo").mkdir(parents=True)
    task = 'description = "Three documents."\nfolder = "tiny"\neval_split = "test"\n'
    task += 'licence = "CC0-1.0"\nredistribute = true\n'
    (tmp_path / "tasks" / "zoo" / "plain.toml").write_text(task)
    (tmp_path / "tasks" / "zoo" / "facts.toml").write_text(task + 'mteb = "SciFact"\n')
    words = ["eval", "-m", NAME, "-t", "zoo", "--offline", "--max-length", "128"]
    words += ["--tasks-dir", "tasks", "--data-dir", "data"]
    environment = os.environ | {"HF_HOME": str(hub.parent)}
    for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE"):
        environment.pop(name, None)
    ended = subprocess.run(
        [sys.executable, "-m", "mixbench", *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    facts, plain = find_results(tmp_path / "leaderboards")
    assert (facts.task, plain.task) == ("zoo/facts", "zoo/plain")
    assert facts.model == plain.model == NAME
    assert facts.revision == plain.revision
    assert facts.identity != plain.identity
    assert facts.recipe["max_length"] == 128
    assert facts.provenance.command == (
        f"mixbench eval -m {NAME} -t zoo/facts --max-length 128 --offline --data-dir DATA"
    )
