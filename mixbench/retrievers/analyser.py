"""Analysers: text in, index terms out, as Lucene's analysers make them.

`english` follows Lucene's EnglishAnalyzer: words split by Unicode's word-break rules (UAX #29), a final 's
removed, lower case, 33 stop words dropped, Porter's stemmer. `code` splits dotted, snake_case and camelCase
identifiers first. Every other name is a language of Snowball: words, lower case, its stemmer, no stop words.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import regex
import Stemmer

from mixbench.errors import UnknownName

STOP_WORDS = (
    "a an and are as at be but by for if in into is it no not of on or such that the their then there these "
    "they this to was will with"
)
"""The stop words of Lucene's EnglishAnalyzer."""

POSSESSIVES = ("'s", "\u2019s", "\uff07s")
"""A final s after an apostrophe: typewriter's, typographic, full width."""


@dataclass(frozen=True, kw_only=True)
class AnalyserRecipe:
    """What one analyser does to the words of a text, beside lower-casing them."""

    stemmer: str
    """Algorithm of PyStemmer: "porter", or Snowball's name of a language."""
    stop_words: frozenset[str] = frozenset()
    possessive: bool = False
    """Whether a final 's is removed."""
    identifiers: bool = False
    """Whether dotted, snake_case and camelCase identifiers are split first."""


ENGLISH = AnalyserRecipe(stemmer="porter", stop_words=frozenset(STOP_WORDS.split()), possessive=True)

ANALYSERS: Mapping[str, AnalyserRecipe] = {
    **{name: AnalyserRecipe(stemmer=name) for name in Stemmer.algorithms() if name != "porter"},
    "english": ENGLISH,
    "code": replace(ENGLISH, identifiers=True),
}
"""Every analyser by name."""


def _word_pattern() -> str:
    """Return the pattern of one word: UAX #29, cut down to what holds a letter, a digit or an ideograph."""
    extend = r"[\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]*+"
    letters = rf"(?:[\p{{WB=ALetter}}\p{{WB=Hebrew_Letter}}]{extend})++"
    digits = rf"(?:\p{{WB=Numeric}}{extend})++"
    katakana = rf"(?:\p{{WB=Katakana}}{extend})++"
    either = r"\p{WB=MidNumLet}\p{WB=Single_Quote}"
    word = rf"{letters}(?:[\p{{WB=MidLetter}}{either}]{extend}{letters})*+"
    number = rf"{digits}(?:[\p{{WB=MidNum}}{either}]{extend}{digits})*+"
    run = rf"_*+(?:{word}|{number})(?:_*+(?:{word}|{number}))*+_*+"
    return rf"{run}|{katakana}|[\p{{Han}}\p{{Hiragana}}]{extend}|\p{{LB=SA}}++"


WORD = regex.compile(_word_pattern())
SEAM = regex.compile(r"_|(?<=\p{L})\.(?=\p{L})|(?<=[\p{Ll}\d])(?=\p{Lu})|(?<=\p{Lu})(?=\p{Lu}\p{Ll})")
"""Where an identifier is cut: at underscores, at dots between letters, and where the case says so."""

REMEMBERED = 1_000_000
"""Strings whose terms are remembered, before the memory is emptied."""


class Analyser:
    """The analyser called `name`: called with a text, it returns the terms in order, repetitions kept.

    Raises UnknownName. One object serves one thread.
    """

    def __init__(self, name: str = "english") -> None:
        if name not in ANALYSERS:
            raise UnknownName.of("analyser", name, ANALYSERS)
        self.name = name
        self.recipe = ANALYSERS[name]
        self._terms = _Terms(self.recipe)

    def __call__(self, text: str) -> list[str]:
        """Return the terms of `text`."""
        terms: list[str] = []
        for stretch in text.split():
            terms += self._terms[stretch]
        return terms


class _Terms(dict[str, list[str]]):
    """Terms of a stretch of text without white space, worked out once (no word spans white space)."""

    def __init__(self, recipe: AnalyserRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.stem = Stemmer.Stemmer(recipe.stemmer, 0).stemWord

    def __missing__(self, stretch: str) -> list[str]:
        if len(self) >= REMEMBERED:
            self.clear()
        text = SEAM.sub(" ", stretch) if self.recipe.identifiers else stretch
        terms = [term for word in WORD.findall(text) if (term := self.term(word))]
        self[stretch] = terms
        return terms

    def term(self, word: str) -> str:
        """Return the term that `word` leaves, or "" for none."""
        term = word.lower()
        if self.recipe.possessive and term.endswith(POSSESSIVES):
            term = term[:-2]
        if term in self.recipe.stop_words:
            return ""
        if self.recipe.stemmer == "porter" and len(term) <= 2:  # as in Lucene and in Porter's own program
            return term
        stem: str = self.stem(term)
        return stem
