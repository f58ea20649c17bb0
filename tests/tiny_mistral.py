"""A tiny random Mistral embedder, laid out in a hub cache as intfloat/e5-mistral-7b-instruct is."""

import json
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors
from transformers import MistralConfig, MistralModel

NAME = "intfloat/e5-mistral-7b-instruct"
REVISION = "07163b72af1488142a360786df853f237b1a3ca1"
"""The revision that mteb pins; the folder of a snapshot has its name."""
LETTERS = "abcdefghijklmnopqrstuvwxyzGIQ:,.\n▁"
PROMPTS = {
    "web_search_query": (
        "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: "
    ),
    "sts_query": "Instruct: Retrieve semantically similar text.\nQuery: ",
}


def make_snapshot(hub: Path, width: int = 16) -> Path:
    """Write a model of `width` into the hub cache `hub`, and return the folder of its snapshot."""
    repository = hub / f"models--{NAME.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(REVISION)
    snapshot = repository / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    _write_network(snapshot, width)
    _write_tokenizer(snapshot)
    _write_modules(snapshot, width)
    return snapshot


def _write_network(folder: Path, width: int) -> None:
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=3 + len(LETTERS),
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=512,
        pad_token_id=2,
    )
    network = MistralModel(config).to(torch.float16)
    network.save_pretrained(folder, max_shard_size=24 * width**2)
    assert len(list(folder.glob("model-0000?-of-0000?.safetensors"))) > 1, "shards, as the real one has"


def _write_tokenizer(folder: Path) -> None:
    """As the real one: Llama's normaliser, <s> by tokenizer.json, </s> by the configuration alone."""
    special = ["<unk>", "<s>", "</s>"]
    vocabulary = {token: number for number, token in enumerate([*special, *LETTERS])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Replace("▁", " ")
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "add_eos_token": True,
        "bos_token": "<s>",
        "clean_up_tokenization_spaces": False,
        "eos_token": "</s>",
        "legacy": True,
        "model_max_length": 1000000000000000019884624838656,
        "pad_token": "</s>",
        "tokenizer_class": "LlamaTokenizer",
        "unk_token": "<unk>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def _write_modules(folder: Path, width: int) -> None:
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    entries = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(entries))
    (folder / "1_Pooling").mkdir()
    modes = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens")
    pooling = {f"pooling_mode_{mode}": False for mode in modes} | {"pooling_mode_lasttoken": True}
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": width, **pooling})
    )
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 256, "do_lower_case": false}')
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": PROMPTS, "default_prompt_name": None})
    )
