"""A random BERT that gives one number for a pair of texts, in a folder, for the tests of rerankers."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{number}" for number in range(20))]


def save_tokenizer(folder: Path) -> None:
    """Write a tokenizer that knows the words w0 to w19 and joins a pair as BERT does."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    marks = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks).save_pretrained(folder)


def bert_config(labels: int = 1) -> BertConfig:
    """Return the shape of a BERT of 16 positions."""
    return BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
        num_labels=labels,
        initializer_range=1.0,  # far from 0, so that scores differ
    )


def make_reranker(folder: Path, *, labels: int = 1, seed: int = 0) -> Path:
    """Write a random reranker into `folder` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    BertForSequenceClassification(bert_config(labels)).save_pretrained(folder)
    save_tokenizer(folder)
    return folder
