"""The analysers: Lucene's English, identifiers of code, Snowball's languages."""

import pytest

from mixbench.retrievers.analyser import ANALYSERS, STOP_WORDS, Analyser


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("The dog's bone and the dogs\u2019 bones", ["dog", "bone", "dog", "bone"]),
        ("James\u2019s", ["jame"]),
        ("relational ponies running", ["relat", "poni", "run"]),
        ("generously", ["gener"]),  # Porter; the later English stemmer keeps "generous"
        ("don't O'Neil", ["don't", "o'neil"]),
        ("U.S.A. e.g.", ["u.s.a", "e.g"]),
        ("3.5 mg, 1,000 IL-2 x.1", ["3.5", "mg", "1,000", "il", "2", "x", "1"]),
        ("TNF-α naïve CAFÉ", ["tnf", "α", "naïv", "café"]),
        ("cafe\u0301", ["cafe\u0301"]),
        ("snake_case os.path", ["snake_cas", "os.path"]),
        ("日本 カタカナ 한국어", ["日", "本", "カタカナ", "한국어"]),
        ("us OS is", ["us", "os"]),
        ("-- ... ___ !", []),
    ],
)
def test_the_english_analyser_gives_lucenes_terms(text: str, terms: list[str]) -> None:
    assert Analyser("english")(text) == terms


def test_all_33_stop_words_are_dropped_whatever_their_case() -> None:
    assert len(set(STOP_WORDS.split())) == 33
    assert Analyser()(STOP_WORDS + " " + STOP_WORDS.upper()) == []


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("read_csv_file", ["read", "csv", "file"]),
        ("os.path.joinPath(HTTPServer)", ["os", "path", "join", "path", "http", "server"]),
        ("__init__ 3.5 to_the_end", ["init", "3.5", "end"]),
    ],
)
def test_the_code_analyser_splits_identifiers(text: str, terms: list[str]) -> None:
    assert Analyser("code")(text) == terms


def test_other_languages_are_stemmed_by_snowball_without_stop_words() -> None:
    assert Analyser("german")("Die Häuser") == ["die", "haus"]
    assert {"french", "spanish", "russian"} < set(ANALYSERS)
    assert "porter" not in ANALYSERS


def test_an_analyser_that_forgets_gives_the_same_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "ponies run and ponies ran"
    expected = Analyser()(text)
    monkeypatch.setattr("mixbench.retrievers.analyser.REMEMBERED", 1)
    assert Analyser()(text) == expected == ["poni", "run", "poni", "ran"]
