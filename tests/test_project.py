"""The project itself: its layers hold, help is instant, the wheel is whole, and tests reach no network."""

import os
import shutil
import socket
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

import mixbench

ROOT = Path(__file__).parents[1]
CONTRACTS = [
    contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
]
LAYERS, JUDGES, MTEB = (
    "imports point down",
    "no room that judges knows our models",
    "mteb is imported by interop alone",
)
LISTED = (
    "import sys; print(*sorted({'numpy', 'torch', 'mteb', 'pydantic', 'transformers'} & set(sys.modules)))"
)


def run(
    *command: str | Path, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    environment = None if env is None else {**os.environ, **env}
    return subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def python(code: str, cwd: Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-c", code, cwd=cwd, env=env)


# Layers


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package's code and its configuration, to be broken."""
    ignored = shutil.ignore_patterns("__pycache__", "shipped", "embedded", "*.json")
    shutil.copytree(ROOT / "mixbench", tmp_path / "mixbench", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def broken_contracts(folder: Path) -> list[str]:
    """Return the contracts that import-linter calls broken, having named every one."""
    linter = Path(sys.executable).with_name("lint-imports")
    if not linter.exists():
        pytest.skip("import-linter is not installed: make setup")
    output = run(linter, "--no-cache", cwd=folder).stdout
    verdicts = [name for name in CONTRACTS if f"{name} KEPT" in output or f"{name} BROKEN" in output]
    assert verdicts == CONTRACTS, output
    return [name for name in CONTRACTS if f"{name} BROKEN" in output]


def test_every_import_contract_holds() -> None:
    assert broken_contracts(ROOT) == []


def test_each_contract_has_a_test_that_breaks_it() -> None:
    assert [LAYERS, JUDGES, MTEB] == CONTRACTS


@pytest.mark.parametrize(
    ("contract", "file", "line"),
    [
        (LAYERS, "tasks.py", "from mixbench.results import Result"),
        (LAYERS, "evaluation/cost.py", "from mixbench.leaderboard import render"),
        (LAYERS, "probes/forms.py", "from mixbench.leaderboard import statistics"),
        (JUDGES, "training/config.py", "import mixbench.models"),
        (JUDGES, "probes/inversion.py", "import mixbench.models.states"),
        (JUDGES, "retrievers/dense.py", "import mixbench.models.load"),
        (JUDGES, "probes/pools.py", "import mixbench.models"),
        (MTEB, "data/records.py", "import mteb"),
    ],
)
def test_one_forbidden_import_breaks_its_contract_and_no_other(
    copy: Path, contract: str, file: str, line: str
) -> None:
    with (copy / "mixbench" / file).open("a") as module:
        module.write(f"\n{line}\n")
    assert broken_contracts(copy) == [contract]


# The public API


def test_the_package_and_its_command_line_import_nothing_heavy(tmp_path: Path) -> None:
    assert python(f"import mixbench, mixbench.cli; {LISTED}", tmp_path).stdout.strip() == ""
    assert python(f"import mixbench; mixbench.Task; {LISTED}", tmp_path).stdout.strip() == "pydantic"


def test_encoding_and_training_load_neither_mteb_nor_pydantic(tmp_path: Path) -> None:
    modules = (
        "mixbench.models.load, mixbench.training.contrastive, mixbench.retrievers.dense,"
        " mixbench.models.states, mixbench.probes.inversion, mixbench.probes.retention,"
        " mixbench.probes.matcher_training, mixbench.probes.pools"
    )
    loaded = python(f"import {modules}; {LISTED}", tmp_path).stdout.split()
    assert "torch" in loaded
    assert not {"mteb", "pydantic"} & set(loaded)


@pytest.mark.parametrize("name", mixbench.__all__)
def test_every_public_name_can_be_imported_and_is_listed(name: str) -> None:
    assert getattr(mixbench, name).__module__.startswith("mixbench.")
    assert name in dir(mixbench)


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert mixbench.__version__ == project["version"]


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'mixbench' has no attribute 'Mixer'"):
        _ = mixbench.Mixer


def test_no_module_is_longer_than_300_lines() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in (ROOT / "mixbench").rglob("*.py")
    }
    assert {path: length for path, length in lengths.items() if length > 300} == {}


# The wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from this checkout."""
    for tool in ("build", "hatchling"):
        spec = find_spec(tool)
        if spec is None or spec.origin is None:  # a folder called build is no tool
            pytest.skip(f"{tool} is not installed: make setup")
    folder = tmp_path_factory.mktemp("wheel")
    built = run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", folder, cwd=ROOT)
    assert built.returncode == 0, built.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that has nothing but the installed wheel in it."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    done = run(*pip, "--target", folder, wheel, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def from_the_wheel(installed: Path, folder: Path, code: str) -> list[str]:
    """Run `code` in `folder` with the installed wheel before everything else; return the words it prints."""
    guard = Path(__file__).parent / "network_guard"
    done = python(code, folder, {"PYTHONPATH": os.pathsep.join([str(installed), str(guard)])})
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_an_installed_wheel_finds_the_same_tasks_from_an_empty_folder(
    installed: Path, tmp_path: Path
) -> None:
    code = "import mixbench; print(mixbench.__file__, mixbench.__version__, *mixbench.find_tasks())"
    file, version, *names = from_the_wheel(installed, tmp_path, code)
    assert Path(file) == installed / "mixbench" / "__init__.py"
    assert version == mixbench.__version__
    assert names == sorted(f"{path.parent.name}/{path.stem}" for path in (ROOT / "tasks").glob("*/*.toml"))


def test_an_installed_wheel_reads_its_embedded_task(installed: Path, tmp_path: Path) -> None:
    code = """
from mixbench import load_data, load_task
task = load_task("quickstart/stdlib-code")
data = load_data(task, offline=True)[0]
print(data.source, len(data.queries) == 910, task.sha256 in (None, data.sha256))
"""
    assert from_the_wheel(installed, tmp_path, code) == ["embedded", "True", "True"]


def test_an_installed_wheel_carries_weights_tokenizer_types_and_licences(installed: Path) -> None:
    package = installed / "mixbench"
    shipped = ROOT / "mixbench" / "models" / "shipped" / "mixer-tiny"
    files = [path.relative_to(ROOT / "mixbench") for path in shipped.rglob("*") if path.is_file()]
    assert Path("models/shipped/mixer-tiny/model.safetensors") in files
    for path in [*files, Path("models/bpe-16k.json"), Path("data/embedded/LICENSE-PSF.txt")]:
        assert (package / path).read_bytes() == (ROOT / "mixbench" / path).read_bytes()
    assert (package / "py.typed").is_file()


def test_a_wheel_has_both_licences_in_its_metadata_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    info = next(name.split("/")[0] for name in names if name.endswith(".dist-info/METADATA"))
    assert f"{info}/licenses/LICENSE" in names
    assert f"{info}/licenses/mixbench/data/embedded/LICENSE-PSF.txt" in names
    assert {name.split("/")[0] for name in names} == {"mixbench", info}


# The network guard: 192.0.2.1 and the name .invalid lead nowhere by definition (RFC 5737, RFC 2606)

OUTSIDE = [
    "socket.create_connection(('192.0.2.1', 9), timeout=1)",
    "socket.socket().connect_ex(('192.0.2.1', 9))",
    "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 9))",
    "socket.getaddrinfo('example.invalid', 80)",
    "socket.gethostbyname('example.invalid')",
    "socket.gethostbyaddr('192.0.2.1')",
    "__import__('requests').get('http://example.invalid/', timeout=1)",
]


@pytest.mark.parametrize("call", OUTSIDE)
def test_a_child_process_is_refused_everything_outside_loopback(call: str, tmp_path: Path) -> None:
    log = tmp_path / "breaches"
    child = python(f"import socket; {call}", tmp_path, {"MIXBENCH_NETWORK_BREACHES": str(log)})
    assert child.returncode == 1
    assert "the test suite allows no network" in child.stderr
    assert "192.0.2.1" in log.read_text() or "example.invalid" in log.read_text()


def test_a_child_of_a_child_is_refused_too(tmp_path: Path) -> None:
    log = tmp_path / "breaches"
    grandchild = f"import socket; {OUTSIDE[3]}"
    code = f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', {grandchild!r}]))"
    assert python(code, tmp_path, {"MIXBENCH_NETWORK_BREACHES": str(log)}).returncode == 1
    assert "example.invalid" in log.read_text()


def test_a_child_process_reaches_a_server_on_loopback(tmp_path: Path) -> None:
    log = tmp_path / "breaches"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket; socket.create_connection(('localhost', {port}), timeout=5); print('reached')"
        child = python(code, tmp_path, {"MIXBENCH_NETWORK_BREACHES": str(log)})
    assert child.stdout == "reached\n", child.stderr
    assert not log.exists()
