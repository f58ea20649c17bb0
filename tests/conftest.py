"""Fixtures for all tests, and the guard that keeps every one of them off the network."""

import gc
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from command import Run, make_run

GUARD = Path(__file__).parent / "network_guard"
BREACHES = "MIXBENCH_NETWORK_BREACHES"

for variable in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
    os.environ[variable] = "1"
os.environ["OMP_NUM_THREADS"] = "1"  # torch reads it when it is imported; tests have a process a core
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(GUARD), os.environ.get("PYTHONPATH")]))
exec((GUARD / "sitecustomize.py").read_text())  # this process; children get it from PYTHONPATH


def pytest_configure(config: pytest.Config) -> None:
    """Name one log of breaches for the whole run, its workers and their children."""
    if not hasattr(config, "workerinput"):
        descriptor, log = tempfile.mkstemp(prefix="mixbench-network-")
        os.close(descriptor)
        os.environ[BREACHES] = log


def pytest_collection_finish() -> None:
    """Keep the libraries out of garbage collection: it takes 0.3 s with them, once a training."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run if anything reached for the network, even where the test itself did not mind."""
    if hasattr(session.config, "workerinput"):
        return
    log = Path(os.environ[BREACHES])
    breaches = log.read_text()
    log.unlink()
    if breaches:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(f"reached for the network:\n{breaches}", red=True)


@pytest.fixture(autouse=True)
def _own_caches(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every cache an empty folder, so that no test reads what another or the user left."""
    caches = tmp_path_factory.mktemp("caches")
    monkeypatch.setenv("MTEB_CACHE", str(caches / "mteb"))
    monkeypatch.setenv("HF_HOME", str(caches / "hf"))
    monkeypatch.setenv("MIXBENCH_STORE", str(caches / "store"))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run `mixbench` in an empty folder beside tasks/zoo/tiny.toml and the data of that task."""
    return make_run(tmp_path, monkeypatch, capfd)


@pytest.fixture(scope="session")
def shared_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of real BEIR folders: $MIXBENCH_DATA, else what ../shared/data unpacks."""
    given = os.environ.get("MIXBENCH_DATA")
    if given and (Path(given) / "scifact").is_dir():
        return Path(given)
    unpack = Path(__file__).parents[2] / "shared" / "data" / "unpack"
    if not unpack.is_file():
        pytest.skip("real evaluation sets are absent: set MIXBENCH_DATA to a folder of BEIR folders")
    folder = tmp_path_factory.mktemp("shared-data")
    subprocess.run([str(unpack), str(folder)], check=True, stdout=subprocess.DEVNULL)
    return folder
