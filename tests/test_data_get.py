"""Downloads, from a server on loopback that serves, cuts off, hangs and lies: all or nothing lands."""

import io
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from loopback import Server, serving
from tiny_data import make_folder, make_task

from mixbench.data import load_data
from mixbench.data.download import get_data
from mixbench.errors import InputError, MissingData, MixbenchError


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as running:
        yield running


def zipped(members: dict[str, bytes], change: Callable[[zipfile.ZipInfo], None] | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo(name)
            if change:
                change(member)
            archive.writestr(member, content)
    return buffer.getvalue()


def beir_members(folder: Path, under: str) -> dict[str, bytes]:
    return {
        f"{under}{path.relative_to(folder)}": path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def good(tmp_path: Path) -> dict[str, bytes]:
    return beir_members(make_folder(tmp_path / "made"), "whatever-name/")


def test_a_zip_becomes_the_folder_that_the_task_is_read_from(
    server: Server, good: dict[str, bytes], tmp_path: Path
) -> None:
    server.files["/good.zip"] = zipped(good)
    seen: list[tuple[int, int]] = []
    task = make_task(url=server.url("/good.zip"))
    folder = get_data(
        task, destination=tmp_path / "cache", progress=lambda done, total: seen.append((done, total))
    )
    assert folder == tmp_path / "cache" / "tiny"
    assert load_data(task, data_dir=tmp_path / "cache")[0].queries == {"q1": "what mixes"}
    assert seen[-1] == (len(server.files["/good.zip"]),) * 2
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["tiny"]

    server.files.clear()
    assert get_data(task, destination=tmp_path / "cache") == folder  # there already, so not asked for again


def test_each_part_is_found_in_the_zip(server: Server, tmp_path: Path) -> None:
    made = make_folder(tmp_path / "made")
    server.files["/parts.zip"] = zipped(beir_members(made, "top/ants/") | beir_members(made, "top/bees/"))
    task = make_task(url=server.url("/parts.zip"), parts={"ants": "Ants", "bees": "Bees"})
    get_data(task, destination=tmp_path / "cache")
    assert [data.part for data in load_data(task, data_dir=tmp_path / "cache")] == ["ants", "bees"]


def as_link(member: zipfile.ZipInfo) -> None:
    member.external_attr = 0o120777 << 16


def flipped(archive: bytes, word: bytes) -> bytes:
    return archive.replace(word, word[::-1], 1)


FAILURES = {
    "/404.zip": (lambda good: None, "the server answered 404 Not Found; try again"),
    "/cut.zip": (lambda good: zipped(good), "cut off before all of its"),
    "/hang.zip": (lambda good: zipped(good), "nothing came for 0.3 s"),
    "/page.zip": (lambda good: b"<html>Sorry.</html>", "not a zip that can be unpacked"),
    "/empty.zip": (lambda good: zipped({"readme.txt": b""}), "the zip has not got corpus.jsonl"),
    "/damaged.zip": (
        lambda good: flipped(zipped(good), b"A mixer mixes."),
        "corpus.jsonl' in the zip is damaged",
    ),
    "/slip.zip": (lambda good: zipped({**good, "../../slip.txt": b"x"}), "would write outside its folder"),
    "/root.zip": (lambda good: zipped({**good, "/slip.txt": b"x"}), "would write outside its folder"),
    "/link.zip": (lambda good: zipped({"a/link": b"/etc"}, as_link), "would write outside its folder"),
    "/split.zip": (
        lambda good: zipped({name: text for name, text in good.items() if "qrels" not in name}),
        "what was fetched cannot be used: qrels/test.tsv: no judgments of split 'test'",
    ),
    "/line.zip": (
        lambda good: zipped({**good, "whatever-name/queries.jsonl": b"{}\n"}),
        "what was fetched cannot be used: queries.jsonl:1: no '_id'",
    ),
}


@pytest.mark.parametrize("path", FAILURES)
def test_a_download_that_fails_says_why_in_one_line_and_leaves_nothing(
    server: Server, good: dict[str, bytes], tmp_path: Path, path: str
) -> None:
    make, message = FAILURES[path]
    content = make(good)
    if content is not None:
        server.files[path] = content
    before = sorted(tmp_path.rglob("*"))
    cache = tmp_path / "cache"
    with pytest.raises(MixbenchError) as caught:
        get_data(make_task(), destination=cache, url=server.url(path), timeout=0.3)
    assert message in str(caught.value)
    assert str(caught.value).startswith(server.url(path))
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == sorted([*before, cache])


def test_a_server_that_is_not_there_is_said_to_be(server: Server, tmp_path: Path) -> None:
    nowhere = server.url("/good.zip").replace(str(server.server_port), "1")
    with pytest.raises(MixbenchError, match=r"good\.zip: no connection \(ConnectionError\)"):
        get_data(make_task(), destination=tmp_path / "cache", url=nowhere, timeout=1)


def test_a_time_out_ends_a_download_that_hangs(
    server: Server, good: dict[str, bytes], tmp_path: Path
) -> None:
    server.files["/hang.zip"] = zipped(good)
    start = time.monotonic()
    with pytest.raises(MixbenchError, match=r"nothing came for 0\.5 s"):
        get_data(make_task(), destination=tmp_path, url=server.url("/hang.zip"), timeout=0.5)
    assert time.monotonic() - start < 3


def test_a_task_with_nothing_to_download_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to download for 'zoo/tiny': it is in the package"):
        get_data(make_task(folder=None, embedded="stdlib-code"), destination=tmp_path / "cache")
    with pytest.raises(InputError, match="it has no url and no name in mteb"):
        get_data(make_task(), destination=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_without_a_hub_a_task_of_mteb_is_missing_data(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"no data for 'zoo/tiny' from the hub \(offline"):
        get_data(make_task(mteb="SciFact"), destination=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
