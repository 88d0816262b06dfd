"""The embedded server: found, started, shared, stopped, and gone whatever happens."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from versioned_collection import embedded
from versioned_collection._embedded import binary, diagnosis
from versioned_collection._embedded.home import Home
from versioned_collection._embedded.launch import _free_port
from versioned_collection.errors import EmbeddedServerError, VersioningError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="not supported there")

ROOT = Path(__file__).parent.parent


def eventually(condition: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_gone(pid: int) -> bool:
    """No process of that pid, or only what its parent has yet to collect."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def watchdog_of(server: embedded.Server) -> int:
    return int((server.path / "locks" / "watchdog").read_text())


@contextlib.contextmanager
def other_process(code: str) -> Iterator[subprocess.Popen[str]]:
    """Run Python that imports `embedded`; it prints lines, and reads one to go on."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from versioned_collection import embedded\n" + code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def start_in(path: Path | None, **options: object) -> str:
    """Code of a process that starts a server, says its facts, and stays until told."""
    return textwrap.dedent(
        f"""
        server = embedded.start({None if path is None else str(path)!r}, **{options!r})
        print(server.pid, server.port, server.path, flush=True)
        input()
        """
    )


def facts_of(process: subprocess.Popen[str]) -> tuple[int, int, Path]:
    assert process.stdout is not None
    pid, port, path = process.stdout.readline().split(maxsplit=2)
    return int(pid), int(port), Path(path.rstrip("\n"))


def let_go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


class TestStarted:
    def test_takes_writes_transactions_and_change_streams_at_once(self) -> None:
        with embedded.start() as server, MongoClient(server.uri) as client:
            collection = client.test.things
            with client.start_session() as session, session.start_transaction():
                collection.insert_one({"_id": 1}, session=session)
            with collection.watch() as stream:
                collection.insert_one({"_id": 2})
                event = stream.next()
            assert event["documentKey"] == {"_id": 2}
            assert client.primary == (server.host, server.port)

    def test_is_ready_soon(self) -> None:
        began = time.monotonic()
        with embedded.start():
            took = time.monotonic() - began
        assert took < 10  # about 0.4 s on an idle machine

    def test_listens_on_the_loopback_interface_only(self, server: embedded.Server) -> None:
        listening = [
            c for c in psutil.Process(server.pid).net_connections() if c.status == "LISTEN"
        ]
        assert [(c.laddr.ip, c.laddr.port) for c in listening] == [("127.0.0.1", server.port)]

    def test_tells_its_facts(self, server: embedded.Server) -> None:
        assert server.is_running()
        assert psutil.Process(server.pid).name().startswith("mongod")
        assert server.uri == f"mongodb://127.0.0.1:{server.port}/?replicaSet=rs0"
        assert "Waiting for connections" in server.log_path.read_text()
        assert server.log_path.parent == server.path
        assert server.address in repr(server)

    def test_standalone(self, standalone_server: embedded.Server) -> None:
        with MongoClient(standalone_server.uri) as client:
            hello = client.admin.command("hello")
            assert hello["isWritablePrimary"]
            assert "setName" not in hello

    def test_takes_a_port_and_further_arguments(self) -> None:
        port = _free_port(None)
        arguments = ["--setParameter", "enableTestCommands=1"]
        with (
            embedded.start(port=port, extra_args=arguments) as server,
            MongoClient(server.uri) as client,
        ):
            assert server.port == port
            assert client.admin.command("getParameter", 1, enableTestCommands=1)[
                "enableTestCommands"
            ]

    @pytest.mark.parametrize("durable", [True, False])
    def test_durable_decides_whether_majority_waits_for_the_disk(self, durable: bool) -> None:
        with embedded.start(durable=durable) as server, MongoClient(server.uri) as client:
            config = client.admin.command("replSetGetConfig")["config"]
            assert config["writeConcernMajorityJournalDefault"] is durable

    def test_several_servers_stand_side_by_side(self) -> None:
        with embedded.start() as one, embedded.start() as two:
            assert one.port != two.port
            assert one.path != two.path


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_may_open_as_many_files_as_is_allowed() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (512, {hard}))\n"
    with other_process(few + start_in(None)) as process:
        pid, _, _ = facts_of(process)
        limits = Path(f"/proc/{pid}/limits").read_text()
    line = next(one for one in limits.splitlines() if one.startswith("Max open files"))
    assert int(line.split()[3]) == (
        64_000 if hard == resource.RLIM_INFINITY else min(hard, 64_000)
    )


class TestStopped:
    def test_temporary_directory_goes_away(self) -> None:
        with embedded.start() as server:
            pid, watchdog = server.pid, watchdog_of(server)
        assert not server.is_running()
        assert is_gone(pid)
        assert is_gone(watchdog)
        assert not server.path.exists()

    def test_kept_directory_is_closed_cleanly(self, tmp_path: Path) -> None:
        with embedded.start(tmp_path) as server:
            pid = server.pid
        assert is_gone(pid)
        assert '"exitCode":0' in server.log_path.read_text()
        assert (tmp_path / "data" / "mongod.lock").read_bytes() == b""

    def test_twice_is_once(self) -> None:
        server = embedded.start()
        server.stop()
        server.stop()
        assert not server.is_running()

    def test_at_exit_of_the_interpreter(self, tmp_path: Path) -> None:
        with other_process(start_in(tmp_path)) as process:
            pid, _, _ = facts_of(process)
            let_go(process)
            assert process.wait(30) == 0
            assert is_gone(pid)
        assert '"exitCode":0' in (tmp_path / "mongod.log").read_text()

    def test_a_forked_child_does_not_stop_it(self) -> None:
        code = textwrap.dedent(
            """
            import os, sys
            server = embedded.start()
            child = os.fork()
            if child == 0:
                server.stop()
                sys.exit()
            os.waitpid(child, 0)
            print(server.is_running(), flush=True)
            server.stop()
            print(server.path.exists(), flush=True)
            """
        )
        with other_process(code) as process:
            output, _ = process.communicate(timeout=60)
        assert output.split() == ["True", "False"]

    def test_kill_and_restart_keep_port_and_data(self) -> None:
        with embedded.start() as server:
            port, first = server.port, server.pid
            with MongoClient(server.uri) as client:
                client.test.things.insert_one({"_id": 1})
            server.kill()
            assert not server.is_running()
            assert is_gone(first)
            server.restart()
            second = server.pid
            server.restart()
            assert server.port == port
            assert len({first, second, server.pid}) == 3
            with MongoClient(server.uri) as client:
                assert client.test.things.find_one() == {"_id": 1}
        assert not server.path.exists()


class TestNoOrphan:
    """However the process that uses a server ends, the server ends with it."""

    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
    def test_user_killed(self, how: signal.Signals) -> None:
        with other_process(start_in(None)) as process:
            pid, _, path = facts_of(process)
            assert not is_gone(pid)
            process.send_signal(how)
            process.wait()
            assert eventually(lambda: is_gone(pid))
            assert eventually(lambda: not path.exists())

    @pytest.mark.sweep
    def test_user_of_a_kept_directory_killed(self, tmp_path: Path) -> None:
        with other_process(start_in(tmp_path)) as process:
            pid, _, _ = facts_of(process)
            process.kill()
            process.wait()
        # A start that comes while the old server is stopping waits for that.
        with embedded.start(tmp_path) as server:
            assert is_gone(pid)
            assert '"exitCode":0' in (tmp_path / "mongod.log.1").read_text()
            assert server.is_running()

    @pytest.mark.sweep
    def test_user_killed_while_starting(self, tmp_path: Path) -> None:
        for delay in (0.05, 0.15, 0.25):
            with other_process("print(flush=True)\n" + start_in(tmp_path)) as process:
                assert process.stdout is not None
                process.stdout.readline()
                time.sleep(delay)
                process.kill()
            with embedded.start(tmp_path) as server:
                assert server.is_running()
        assert not [
            p
            for p in psutil.process_iter(["cmdline"])
            if str(tmp_path) in " ".join(p.info["cmdline"] or ())
        ]

    def test_thread_that_started_it_may_end(self) -> None:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as pool:
            server = pool.submit(embedded.start).result()
        time.sleep(0.3)
        assert server.is_running()
        server.stop()

    @pytest.mark.sweep
    @pytest.mark.skipif(sys.platform != "linux", reason="rests on a Linux system call")
    def test_watchdog_killed(self, tmp_path: Path) -> None:
        with embedded.start(tmp_path) as server:
            pid = server.pid
            os.kill(watchdog_of(server), signal.SIGKILL)
            assert eventually(lambda: is_gone(pid))
            assert not server.is_running()
            server.restart()
            assert server.is_running()


class TestKeptDirectory:
    def test_has_its_data_at_the_next_start(self, tmp_path: Path) -> None:
        path = tmp_path / "not" / "there yet"
        for count in range(3):
            with embedded.start(path) as server, MongoClient(server.uri) as client:
                assert client.test.things.count_documents({}) == count
                client.test.things.insert_one({})

    @pytest.mark.sweep
    def test_keeps_its_port(self, tmp_path: Path) -> None:
        with embedded.start(tmp_path) as server:
            port = server.port
        with embedded.start(tmp_path) as server:
            assert server.port == port

    @pytest.mark.sweep
    def test_moves_to_another_port(self, tmp_path: Path) -> None:
        with embedded.start(tmp_path) as server, MongoClient(server.uri) as client:
            client.test.things.insert_one({"_id": 1})
            old = server.port
        new = _free_port(None)
        assert new != old
        with embedded.start(tmp_path, port=new) as server, MongoClient(server.uri) as client:
            assert client.test.things.find_one() == {"_id": 1}
            client.test.things.insert_one({"_id": 2})
            assert client.primary == ("127.0.0.1", new)

    def test_is_private(self, tmp_path: Path) -> None:
        path = tmp_path / "data directory"
        with embedded.start(path, auth=True):
            modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (path, *path.iterdir())}
        assert {mode & 0o077 for mode in modes.values()} == {0}

    @pytest.mark.sweep
    def test_log_of_the_run_before_stays(self, tmp_path: Path) -> None:
        for _ in range(3):
            with embedded.start(tmp_path, replica_set=False):
                pass
        logs = sorted(p.name for p in tmp_path.glob("mongod.log*"))
        assert logs == ["mongod.log", "mongod.log.1"]

    def test_the_home_of_nobody_is_refused(self) -> None:
        place = "~nobody-of-this-name/x"
        with pytest.raises(EmbeddedServerError, match="cannot be used"):
            embedded.start(place)
        with pytest.raises(EmbeddedServerError, match="not a file"):
            embedded.start(mongod=place)

    def test_a_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(EmbeddedServerError, match="cannot be used"):
            embedded.start(tmp_path / "file")


class TestTwoStarts:
    @pytest.fixture
    def first(self, tmp_path: Path) -> Iterator[embedded.Server]:
        with embedded.start(tmp_path) as server:
            yield server

    def test_second_is_refused_and_names_the_first(self, first: embedded.Server) -> None:
        with pytest.raises(EmbeddedServerError, match="already runs") as caught:
            embedded.start(first.path, startup_timeout=5)
        assert (caught.value.pid, caught.value.port) == (first.pid, first.port)
        assert first.address in str(caught.value)
        assert first.is_running()

    def test_second_may_not_share_what_the_first_wants_alone(self, first: embedded.Server) -> None:
        with pytest.raises(EmbeddedServerError, match="share=True"):
            embedded.start(first.path, share=True)

    def test_refused_across_processes(self, tmp_path: Path) -> None:
        with other_process(start_in(tmp_path)) as process:
            pid, _, _ = facts_of(process)
            with pytest.raises(EmbeddedServerError, match=f"pid {pid}"):
                embedded.start(tmp_path)

    def test_refusal_does_not_show_the_password(self, tmp_path: Path) -> None:
        with embedded.start(tmp_path, auth=True) as server:
            password = server.uri.split(":")[2].split("@")[0]
            with pytest.raises(EmbeddedServerError) as caught:
                embedded.start(tmp_path, auth=True)
            assert password not in str(caught.value)
            assert password not in repr(server)

    def test_sharing_in_one_process(self, tmp_path: Path) -> None:
        with embedded.start(tmp_path, share=True) as one:
            with embedded.start(tmp_path, share=True) as two:
                assert (two.pid, two.uri) == (one.pid, one.uri)
            assert one.is_running()
            one.stop()
        assert is_gone(two.pid)

    @pytest.mark.parametrize("ends", ["killed", "leaves"])
    def test_outlives_the_one_that_started_it(self, tmp_path: Path, ends: str) -> None:
        with other_process(start_in(tmp_path, share=True)) as process:
            pid, _, _ = facts_of(process)
            with embedded.start(tmp_path, share=True) as server:
                assert server.pid == pid
                if ends == "killed":
                    process.kill()
                else:
                    let_go(process)
                process.wait(30)
                time.sleep(0.3)
                assert server.is_running()
                with MongoClient(server.uri) as client:
                    client.test.things.insert_one({})
            assert is_gone(pid)

    def test_ends_with_the_last_user_even_if_killed(self, tmp_path: Path) -> None:
        with (
            other_process(start_in(tmp_path, share=True)) as one,
            other_process(start_in(tmp_path, share=True)) as two,
        ):
            pid, _, _ = facts_of(one)
            assert facts_of(two)[0] == pid
            for process in (one, two):
                assert not is_gone(pid)
                process.kill()
                process.wait()
            assert eventually(lambda: is_gone(pid))

    @pytest.mark.sweep
    def test_many_at_once(self, tmp_path: Path) -> None:
        with contextlib.ExitStack() as stack:
            code = start_in(tmp_path, share=True)
            processes = [stack.enter_context(other_process(code)) for _ in range(6)]
            pids = {facts_of(process)[0] for process in processes}
            assert len(pids) == 1
            for process in processes:
                let_go(process)
            assert [process.wait(60) for process in processes] == [0] * 6
            assert is_gone(pids.pop())

    def test_sharing_needs_the_same_kind_of_server(self, tmp_path: Path) -> None:
        with embedded.start(tmp_path, share=True, replica_set=False):
            with pytest.raises(EmbeddedServerError, match="replica_set=False"):
                embedded.start(tmp_path, share=True)
            with pytest.raises(EmbeddedServerError, match="port 1 was asked for"):
                embedded.start(tmp_path, share=True, replica_set=False, port=1)

    @pytest.mark.sweep
    def test_a_server_that_only_lingers_makes_room(self, tmp_path: Path) -> None:
        with embedded.start(tmp_path, share=True, linger=600) as server:
            pid = server.pid
        assert not is_gone(pid)
        with embedded.start(tmp_path, auth=True) as server:
            assert is_gone(pid)
        assert is_gone(server.pid)

    @pytest.mark.sweep
    def test_lingers_for_the_next_one(self, tmp_path: Path) -> None:
        with embedded.start(tmp_path, share=True, linger=1.5) as server:
            pid = server.pid
        assert not is_gone(pid)
        with embedded.start(tmp_path, share=True, linger=1.5) as server:
            assert server.pid == pid
            time.sleep(2)
            assert server.is_running()
        assert not is_gone(pid)
        assert eventually(lambda: is_gone(pid))


class TestAccessControl:
    @pytest.mark.parametrize("replica_set", [True, False])
    def test_root_may_and_strangers_may_not(self, replica_set: bool) -> None:
        with embedded.start(auth=True, replica_set=replica_set) as server:
            with MongoClient(server.uri) as root:
                root.test.things.insert_one({})
                root.test.command("createUser", "ann/e", pwd="p@ss:1", roles=["readWrite"])
            with MongoClient(server.uri_for("ann/e", "p@ss:1", "test")) as ann:
                ann.test.things.insert_one({})
                with pytest.raises(OperationFailure):
                    ann.other.things.insert_one({})
            with (
                MongoClient(f"mongodb://{server.address}/") as stranger,
                pytest.raises(OperationFailure),
            ):
                stranger.test.things.insert_one({})

    @pytest.mark.sweep
    def test_root_is_the_same_at_the_next_start(self, tmp_path: Path) -> None:
        with embedded.start(tmp_path, auth=True) as server:
            uri = server.uri
        with embedded.start(tmp_path, auth=True) as server, MongoClient(server.uri) as root:
            assert server.uri == uri
            root.test.things.insert_one({})

    @pytest.mark.sweep
    def test_start_that_ended_before_root_was_made(self, tmp_path: Path) -> None:
        with embedded.start(tmp_path):
            pass
        Home(tmp_path).write_credentials({"user": "root", "password": "secret"})
        with embedded.start(tmp_path, auth=True) as server, MongoClient(server.uri) as root:
            root.test.things.insert_one({})


class TestFindingMongod:
    @pytest.fixture
    def nothing_installed(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv("MONGOD", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(binary, "_wheel_binary", lambda: None)

    @pytest.mark.usefixtures("nothing_installed")
    def test_none_says_how_to_get_one(self) -> None:
        with pytest.raises(EmbeddedServerError) as caught:
            embedded.start()
        assert 'pip install "mongo-versioned-collection[embedded]"' in str(caught.value)
        assert caught.value.missing == "mongod"
        assert isinstance(caught.value, VersioningError)

    @pytest.mark.usefixtures("nothing_installed")
    def test_order(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        def executable(name: str) -> Path:
            path = tmp_path / name
            path.write_text("")
            path.chmod(0o755)
            return path

        wheel, on_path, variable, explicit = (
            executable(name) for name in ("wheel", "mongod", "variable", "explicit")
        )
        monkeypatch.setattr(binary, "_wheel_binary", lambda: wheel)
        assert embedded.find_mongod() == on_path
        monkeypatch.setenv("MONGOD", str(variable))
        assert embedded.find_mongod() == variable
        assert embedded.find_mongod(explicit) == explicit
        on_path.unlink()
        monkeypatch.delenv("MONGOD")
        assert embedded.find_mongod() == wheel

    def test_wheel_is_found_without_importing_it(self) -> None:
        code = textwrap.dedent(
            """
            import sys
            from versioned_collection._embedded import binary
            print(binary._wheel_binary())
            print("fiftyone" in sys.modules)
            """
        )
        with other_process(code) as process:
            output, _ = process.communicate(timeout=60)
        found, imported = output.splitlines()
        if found == "None":
            pytest.skip("the wheel is not installed")
        assert found.endswith(os.path.join("fiftyone", "db", "bin", "mongod"))
        assert imported == "False"

    def test_named_file_must_be_there_and_executable(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        with pytest.raises(EmbeddedServerError, match="not a file"):
            embedded.start(mongod=tmp_path / "absent")
        (tmp_path / "plain").touch(0o644)
        with pytest.raises(EmbeddedServerError, match="not executable"):
            embedded.start(mongod=tmp_path / "plain")
        monkeypatch.setenv("MONGOD", str(tmp_path / "absent"))
        with pytest.raises(EmbeddedServerError, match=r"\$MONGOD names .*absent"):
            embedded.start()

    def test_run_bit_of_the_wheel_is_set(self, tmp_path: Path) -> None:
        plain = tmp_path / "mongod"
        plain.touch(0o644)
        assert binary._runnable(plain) == plain
        assert os.access(plain, os.X_OK)

    def test_copied_where_the_run_bit_cannot_be_set(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        plain = tmp_path / "mongod"
        plain.write_text("#!/bin/sh\n")
        plain.chmod(0o644)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError("read-only")

        monkeypatch.setattr(Path, "chmod", refuse)
        copy = binary._runnable(plain)
        assert copy != plain
        assert os.access(copy, os.X_OK)
        assert copy.read_text() == "#!/bin/sh\n"
        assert binary._runnable(plain) == copy
        assert len(list(copy.parent.iterdir())) == 1


class TestStartThatFails:
    """Each failure names its reason, and leaves neither process nor directory."""

    @pytest.fixture(autouse=True)
    def temporary(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        yield
        assert not list(tmp_path.glob("versioned-collection-*"))

    def script(self, path: Path, text: str) -> Path:
        path.write_text(text)
        path.chmod(0o755)
        return path

    def test_not_a_program(self, tmp_path: Path) -> None:
        wrong = self.script(tmp_path / "mongod", "this is no program")
        with pytest.raises(EmbeddedServerError, match="does not run") as caught:
            embedded.start(mongod=wrong)
        assert caught.value.mongod == str(wrong)

    def test_another_program(self, tmp_path: Path) -> None:
        wrong = self.script(tmp_path / "mongod", "#!/bin/sh\necho something else\nexit 3\n")
        with pytest.raises(EmbeddedServerError, match="status 3, saying: something else"):
            embedded.start(mongod=wrong)

    def test_a_program_that_never_listens(self, tmp_path: Path) -> None:
        wrong = self.script(tmp_path / "mongod", "#!/bin/sh\necho waiting\nexec sleep 600\n")
        with pytest.raises(EmbeddedServerError, match=r"not ready after 0.5 .*waiting"):
            embedded.start(mongod=wrong, startup_timeout=0.5)
        assert not [c for c in psutil.Process().children(recursive=True) if c.name() == "sleep"]

    def test_a_library_is_missing(self, tmp_path: Path) -> None:
        loader = (
            "mongod: error while loading shared libraries: libcurl.so.4: "
            "cannot open shared object file: No such file or directory"
        )
        wrong = self.script(tmp_path / "mongod", f"#!/bin/sh\necho '{loader}' >&2\nexit 127\n")
        with pytest.raises(EmbeddedServerError, match="apt-get install libcurl4") as caught:
            embedded.start(mongod=wrong)
        assert caught.value.missing == "libcurl.so.4"

    def test_the_port_is_taken(self, server: embedded.Server) -> None:
        with pytest.raises(EmbeddedServerError, match="port is in use"):
            embedded.start(port=server.port)
        assert server.is_running()

    def test_a_wrong_argument(self) -> None:
        with pytest.raises(EmbeddedServerError, match="nonsense"):
            embedded.start(extra_args=["--nonsense"])

    def test_a_free_port_that_was_lost_is_tried_again(
        self, server: embedded.Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ports = iter([server.port, server.port, _free_port(None)])
        monkeypatch.setattr(
            "versioned_collection._embedded.launch._free_port", lambda _: next(ports)
        )
        with embedded.start() as other:
            assert other.port != server.port

    def test_damaged_data(self, tmp_path: Path) -> None:
        path = tmp_path / "kept"
        with embedded.start(path, replica_set=False):
            pass
        (path / "data" / "WiredTiger.turtle").write_bytes(b"\0" * 100)
        with pytest.raises(EmbeddedServerError, match="did not start"):
            embedded.start(path)
        assert path.is_dir()


@pytest.mark.parametrize(
    ("status", "log", "said"),
    [
        (127, "x: error while loading shared libraries: libfoo.so.1: cannot", "libfoo.so.1 is"),
        (134, "dyld: Library not loaded: /usr/lib/libcurl.4.dylib", "libcurl.4.dylib"),
        (1, "/lib/libc.so.6: version `GLIBC_2.34' not found", "newer C library (GLIBC_2.34)"),
        (132, "", "AVX"),
        (1, "", "status 1, saying: nothing"),
        (62, '{"s":"F","msg":"Wrong version","attr":{"error":"too new"}}', "version: too new"),
    ],
)
def test_explanations(status: int, log: str, said: str) -> None:
    assert said in diagnosis.explain_exit(status, log)[0]


class TestFixtures:
    def test_databases_are_empty_and_one_s_own(self, db, standalone_db) -> None:  # type: ignore[no-untyped-def]
        for database in (db, standalone_db):
            assert database.list_collection_names() == []
            database.things.insert_one({})

    def test_a_dead_server_does_not_answer(self) -> None:
        with embedded.start() as server:
            uri = server.uri
        with (
            MongoClient(uri, serverSelectionTimeoutMS=300) as client,
            pytest.raises(PyMongoError),
        ):
            client.admin.command("ping")
