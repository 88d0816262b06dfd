"""Settings, the configuration file, and keeping credentials to ourselves."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest
from cli_support import Cli

from versioned_collection.cli import configuration
from versioned_collection.cli.configuration import (
    ConfigurationError,
    ConfigurationFile,
    directory,
    locate,
)
from versioned_collection.cli.redact import hide, redact, secrets_of
from versioned_collection.cli.settings import Settings, SettingsError

SECRET = "pa ss/w@rd"
URI = "mongodb://ada:s3cr3t@db.example:27017/music?authSource=admin"
REFERRING = URI.replace("s3cr3t", "${MUSIC_PASSWORD}")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path / "home")


@pytest.fixture
def warnings() -> list[str]:
    return []


# Which one holds


def test_a_flag_beats_the_environment_beats_the_file() -> None:
    flags, environ, stored = {"db": "a"}, {"VC_DB": "b"}, {"db": "c"}
    assert Settings(flags, environ, stored).get("db").source == "flag"
    assert Settings({}, environ, stored).value("db") == "b"
    assert Settings({}, {}, stored).get("db").source == "file"
    assert Settings({}, {}, {}).get("db") is None
    assert Settings({}, {}, {}).seconds("timeout") == 5


def test_an_empty_variable_counts_as_none() -> None:
    assert Settings({}, {"VC_DB": ""}, {"db": "c"}).value("db") == "c"


def test_the_stronger_server_wins() -> None:
    assert Settings({"data": "d"}, {"VC_URI": URI}, {}).value("uri") is None
    assert Settings({"uri": URI}, {"VC_DATA": "d"}, {}).value("data") is None
    with pytest.raises(SettingsError, match="exclude each other"):
        Settings({"uri": URI, "data": "d"}, {}, {})


def test_the_login_of_the_file_is_for_the_server_of_the_file() -> None:
    stored = {"uri": URI, "username": "ada", "password": SECRET}
    assert Settings({}, {}, stored).value("password") == SECRET
    elsewhere = Settings({"uri": "mongodb://other"}, {}, stored)
    assert elsewhere.value("password") is None
    assert elsewhere.value("username") is None
    given = Settings({"uri": "mongodb://other"}, {"VC_PASSWORD": "x"}, stored)
    assert given.value("password") == "x"
    assert Settings({"data": "d"}, {"VC_PASSWORD": "x"}, {}).value("password") is None


def test_the_database_of_the_connection_string_counts_as_much_as_the_string() -> None:
    assert Settings({"uri": URI}, {"VC_DB": "other"}, {}).database("music") == "music"
    assert Settings({"uri": URI, "db": "other"}, {}, {}).database("music") == "other"
    assert Settings({"db": "other"}, {"VC_URI": URI}, {}).database("music") == "other"
    assert Settings({}, {}, {"uri": URI, "db": "other"}).database("music") == "other"
    assert Settings({"uri": URI}, {}, {}).database(None) is None


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "1e9"])
def test_seconds_are_seconds(value: str) -> None:
    with pytest.raises(SettingsError, match="timeout is a number of seconds"):
        Settings({"timeout": value}, {}, {})


# The configuration file


@pytest.mark.parametrize(
    ("text", "key", "meant"),
    [
        ('url = "mongodb://db.example"', "url", "uri"),
        ('database = "music"', "database", "db"),
        ('Collection = "bands"', "Collection", "collection"),
        ('[profiles.home]\npasword = "x"', "pasword", "password"),
        ('[profil.home]\ndb = "x"', "profil", "profile"),
        ("xyzzy = 1", "xyzzy", None),
    ],
)
def test_a_misspelt_setting_in_the_file_is_refused(
    cli: Cli, tmp_path: Path, text: str, key: str, meant: str | None
) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text)
    file.chmod(0o600)
    for words in (("status",), ("config", "list"), ("use", "bands")):
        told = cli("--config", str(file), *words, code=2).err
        assert f"{file}: there is no setting {key!r}" in told
        assert (f"did you mean {meant!r}?" in told) == (meant is not None)


@pytest.mark.parametrize("name", ["config.toml", "config.json"])
def test_a_file_is_written_for_its_owner_only(tmp_path: Path, name: str) -> None:
    path = tmp_path / "new" / name
    file = ConfigurationFile(path, pytest.fail)
    odd = 'a "b" \\ ü\t\x7f \U0001f600'
    file.set({"uri": URI, "password": odd})
    file.set({"db": "music"})
    assert file.read() == {"uri": URI, "password": odd, "db": "music"}
    assert mode(path) == 0o600
    file.set({"uri": None})
    assert ConfigurationFile(path, pytest.fail).read() == {"password": odd, "db": "music"}
    assert os.listdir(path.parent) == [name]


def test_comments_in_toml_stay(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.touch(0o600)
    path.write_text("# mine\ndb = 'a'  # old\n\ntimeout = 2\n")
    ConfigurationFile(path, pytest.fail).set({"db": "b", "collection": "bands"})
    assert path.read_text() == '# mine\ndb = "b"\n\ntimeout = 2\ncollection = "bands"\n'
    ConfigurationFile(path, pytest.fail).set({"db": None})
    assert ConfigurationFile(path, pytest.fail).read() == {"timeout": "2", "collection": "bands"}


def test_a_form_that_cannot_be_edited_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.touch(0o600)
    text = 'db = """\nmany\nlines"""\n'
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"malformed|by hand"):
        ConfigurationFile(path, pytest.fail).set({"db": "b"})
    assert path.read_text() == text


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_nothing_else_ends_lines_in_toml(tmp_path: Path, newline: str) -> None:
    path = tmp_path / "config.toml"
    path.touch(0o600)
    lines = ["# a\x85b\u2028c", 'author = "A\u2028B\x85"', "[profiles.a]", 'db = "a"  # here']
    path.write_bytes(newline.join(lines).encode())
    file = ConfigurationFile(path, pytest.fail)
    file.set({"author": "A\u2029B", "db": "x"})
    file.set({"wait": "3"}, profile="a")
    file.set({"wait": "4"}, profile="b")
    lines[1:2] = ['author = "A\u2029B"', 'db = "x"']
    first = [*lines, 'wait = "3"', "", ""]
    second = [*first[:-1], "[profiles.b]", 'wait = "4"', ""]
    assert path.read_bytes().decode() == newline.join(second)
    file.remove("b")
    assert path.read_bytes().decode() == newline.join(first)


@pytest.mark.parametrize("text", ['profiles.a.db = "q"\n', 'profiles = {a = {db = "q"}}\n'])
def test_a_profile_in_another_form_is_left_alone(cli: Cli, tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.toml"
    path.touch(0o600)
    path.write_text(text)
    chosen = ("--config", str(path), "--profile", "a")
    told = cli(*chosen, "config", "set", "wait", "3", code=2).err
    assert "has a form that has to be edited by hand" in told
    assert path.read_text() == text


@pytest.mark.parametrize("wide", [0o644, 0o640, 0o606, 0o777])
def test_a_wider_mode_is_repaired_and_told(tmp_path: Path, wide: int, warnings: list[str]) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"db": "music"}')
    path.chmod(wide)
    assert ConfigurationFile(path, warnings.append).read() == {"db": "music"}
    assert mode(path) == 0o600
    assert len(warnings) == 1
    assert f"{wide:04o}" in warnings[0]


def test_a_wide_file_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"db": "music"}')
    path.chmod(0o644)
    owner = path.stat().st_uid
    monkeypatch.setattr(configuration.os, "geteuid", lambda: owner + 1)
    with pytest.raises(ConfigurationError, match=r"others can read .* \(mode 0644\)"):
        ConfigurationFile(path, pytest.fail).read()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.json", '{"password": "hush"'),
        ("config.json", '["hush"]'),
        ("config.json", '{"password": {"hush": 1}}'),
        ("config.toml", 'password = "hush'),
        ("config.toml", "[password]\nhush = 1\n"),
        ("config.toml", "password = true # hush"),
    ],
)
def test_a_malformed_file_is_not_quoted(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.touch(0o600)
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        ConfigurationFile(path, pytest.fail).read()
    assert str(path) in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    link.symlink_to(real)
    ConfigurationFile(link, pytest.fail).set({"db": "a"})
    assert link.is_symlink()
    assert json.loads(real.read_text()) == {"db": "a"}
    assert mode(real) == 0o600


def test_platform_directories(tmp_path: Path) -> None:
    home = {"HOME": "/home/ada"}
    assert directory("config", home, "linux") == Path("/home/ada/.config/versioned-collection")
    assert directory("data", home, "linux") == Path("/home/ada/.local/share/versioned-collection")
    assert directory("config", {**home, "XDG_CONFIG_HOME": "/x"}, "linux").parent == Path("/x")
    assert "Application Support" in str(directory("config", home, "darwin"))
    assert directory("data", {**home, "LOCALAPPDATA": "/l"}, "win32").parent == Path("/l")
    environ = {"HOME": str(tmp_path)}
    assert locate(None, environ).name == "config.toml"
    assert locate("some.json", environ) == Path("some.json")
    written = directory("config", environ, sys.platform) / "config.json"
    written.parent.mkdir(parents=True)
    written.touch(0o600)
    assert locate(None, environ) == written


def test_a_home_that_nobody_has(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    place = "~nobody-of-this-name/x"
    for words in (
        ("--config", place, "status"),
        ("--config", place, "config", "set", "db", "x"),
        ("--data", place, "status"),
        ("config", "set", "data", place),
    ):
        assert "no such home directory" in cli(*words, code=2).err
    assert not os.path.exists("~nobody-of-this-name")

    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    cli.env["HOME"] = ""
    assert cli("config", "list").out
    cli.env["XDG_CONFIG_HOME"] = ""
    told = cli("config", "list", code=2).err
    assert "the user has no home directory; HOME can name one" in told


# The commands


def test_set_get_list_unset(cli: Cli) -> None:
    assert cli("config", "get", "db", code=1).out == "db is not set\n"
    cli("config", "set", "db", "music")
    assert cli("config", "get", "db").out == "music\n"
    assert cli("config", "get", "db", "--json").json == {
        "name": "db",
        "value": "music",
        "source": "file",
    }
    listed = cli("config", "list", "--json", "--collection", "bands").json
    assert listed["settings"]["db"] == {"value": "music", "source": "file"}
    assert listed["settings"]["collection"] == {"value": "bands", "source": "flag"}
    assert mode(Path(listed["file"])) == 0o600
    assert cli("config", "unset", "db").code == 0
    assert cli("config", "unset", "db", code=1).code == 1


def test_a_secret_may_come_from_standard_input(cli: Cli) -> None:
    cli("config", "set", "password", stdin=f"{SECRET}\n")
    path = Path(cli("config", "list", "--json").json["file"])
    assert ConfigurationFile(path, pytest.fail).read() == {"password": SECRET}
    cli("config", "set", "db", stdin="", code=2)


def test_a_password_is_no_argument(cli: Cli) -> None:
    told = cli("config", "set", "password", "hush", code=2).err
    assert "standard input" in told
    assert "${NAME}" in told
    assert "hush" not in told
    assert cli("config", "get", "password", code=1).out == "password is not set\n"
    cli("config", "set", "password", "${MUSIC_PASSWORD}")


@pytest.mark.parametrize(
    "uri",
    [
        URI,
        "mongodb+srv://ada:s3cr3t@db.example/music",
        "mongodb://db.example/?tlsCertificateKeyFilePassword=s3cr3t",
    ],
)
def test_a_connection_string_with_a_password_is_no_argument(cli: Cli, uri: str) -> None:
    for words in (("config", "set", "uri", uri), ("--uri", uri, "use", "bands")):
        told = cli(*words, code=2).err
        assert "${NAME}" in told
        assert "s3cr3t" not in told
    assert cli("config", "get", "uri", code=1).out == "uri is not set\n"
    cli("config", "set", "uri", stdin=f"{uri}\n")
    assert cli("config", "get", "uri").code == 0


def test_a_malformed_connection_string_is_not_stored(cli: Cli) -> None:
    for uri in ("mongodb://ada:s3cr3t@s3cr3t@h", "http://h", "nonsense"):
        told = cli("config", "set", "uri", uri, code=2).err
        assert "no MongoDB URI" in told
        assert "s3cr3t" not in told


def test_a_login_without_a_server_is_told_apart_from_none(cli: Cli) -> None:
    cli("config", "set", "password", stdin="hush\n")
    told = cli("config", "get", "password", code=1).out
    assert told.startswith("password is set, and does not hold: there is no uri")
    cli("config", "set", "uri", "mongodb://db.example")
    assert cli("config", "get", "password").out == "***\n"
    told = cli("--uri", "mongodb://other", "config", "get", "password", code=1).out
    assert "another one is used" in told


def test_what_the_driver_doubts_is_named(cli: Cli) -> None:
    uri = "mongodb://127.0.0.1:1/music?foo=1&retryWrites=maybe&serverSelectionTimeoutMS=50"
    told = cli("--uri", uri, "-c", "bands", "status", code=8).err
    assert "warning: foo in the connection string: Unknown option" in told
    assert "warning: retryWrites in the connection string: The value of retrywrites" in told
    assert told.count("warning:") == 2


def test_a_file_of_the_connection_string_that_is_not_there(cli: Cli) -> None:
    uri = "mongodb://127.0.0.1:1/music?tlsCertificateKeyFile=/nonexist"
    told = cli("--uri", uri, "-c", "bands", "status", code=2).err
    said_by_the_driver = "tlscertificatekeyfile" in told  # by PyMongo 4.19 and newer
    assert said_by_the_driver or "a file that the connection string names cannot be used" in told


def test_use_stores_what_it_was_given(cli: Cli) -> None:
    cli("--uri", REFERRING, "--db", "music", "use", "bands")
    found = cli("config", "list", "--json").json["settings"]
    assert found["collection"]["value"] == "bands"
    assert found["db"]["value"] == "music"
    assert found["uri"]["value"] == "mongodb://***@db.example:27017/music?authSource=admin"
    cli("use", "songs", "--data", "/some/where")
    found = cli("config", "list", "--json").json["settings"]
    assert "uri" not in found
    assert found["data"]["value"] == "/some/where"
    cli.env["VC_COLLECTION"] = "other"
    assert "goes first" in cli("use", "songs").err


def test_a_named_file(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    assert "there is no configuration file" in cli("--config", str(path), "status", code=2).err
    cli("--config", str(path), "use", "bands")
    assert json.loads(path.read_text()) == {"collection": "bands"}
    cli.env["VC_CONFIG"] = str(path)
    assert cli("config", "get", "collection").out == "bands\n"


# Profiles


def test_profiles_in_toml_keep_comments(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.touch(0o600)
    path.write_text('# mine\ndb = "a"\n\n[ profiles . "local" ]  # here\ndb = "b"\n\n# end\n')
    file = ConfigurationFile(path, pytest.fail)
    file.set({"db": "c", "timeout": "2"}, "local")
    file.set({"uri": URI}, "remote")
    file.set({"author": "Ada"})
    assert path.read_text() == (
        '# mine\ndb = "a"\nauthor = "Ada"\n\n[ profiles . "local" ]  # here\ndb = "c"\n\n# end\n'
        f'timeout = "2"\n\n[profiles.remote]\nuri = "{URI}"\n'
    )
    assert file.profiles() == {"local": {"db": "c", "timeout": "2"}, "remote": {"uri": URI}}
    assert file.read() == {"db": "a", "author": "Ada"}
    file.set({"db": None, "timeout": None}, "local")
    file.remove("remote")
    file.remove("never")
    assert file.profiles() == {"local": {}}
    assert "remote" not in path.read_text()
    assert mode(path) == 0o600


def test_profiles_in_json(tmp_path: Path) -> None:
    file = ConfigurationFile(tmp_path / "config.json", pytest.fail)
    file.set({"uri": URI}, "remote")
    file.set({"db": "a"})
    assert json.loads(file.path.read_text()) == {
        "db": "a",
        "profiles": {"remote": {"uri": URI}},
    }
    file.remove("remote")
    assert json.loads(file.path.read_text()) == {"db": "a"}


@pytest.mark.parametrize(
    "text",
    ['{"profiles": 3}', '{"profiles": {"a": 3}}', '{"profiles": {"a b": {}}}',
     '{"profiles": {"a": {"db": {}}}}'],
)  # fmt: skip
def test_malformed_profiles(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.touch(0o600)
    path.write_text(text)
    with pytest.raises(ConfigurationError):
        ConfigurationFile(path, pytest.fail).read()


def test_a_setting_that_the_file_cannot_hold(tmp_path: Path) -> None:
    file = ConfigurationFile(tmp_path / "config.toml", pytest.fail)
    with pytest.raises(ConfigurationError, match="UTF-8"):
        file.set({"author": "\udcff"})
    assert not file.path.exists()


def test_a_profile_names_what_belongs_together(cli: Cli) -> None:
    cli("--uri", REFERRING, "--db", "music", "use", "bands")
    cli("config", "set", "author", "Ada")
    assert cli("--profile", "local", "--data", "/some/where", "use", "songs").out.startswith(
        "using profile local: songs (in "
    )
    found = cli("config", "list", "--json").json["settings"]
    assert {name: one["value"] for name, one in found.items() if one["source"] == "file"} == {
        "profile": "local",
        "data": "/some/where",
        "collection": "songs",
        "author": "Ada",
    }
    cli("--profile", "remote", "--uri", REFERRING, "--db", "art", "use", "pictures")
    listed = cli("config", "profiles", "--json").json
    assert listed["profile"] == "remote"
    assert listed["profiles"]["local"] == {"data": "/some/where", "collection": "songs"}
    assert SECRET not in json.dumps(listed)
    assert listed["profiles"]["remote"]["db"] == "art"
    assert "*" in cli("config", "profiles").out
    cli("--profile", "local", "use")
    assert cli("config", "get", "collection").out == "songs\n"
    cli.env["VC_PROFILE"] = "remote"
    assert cli("config", "get", "collection").out == "pictures\n"
    assert cli("config", "get", "collection", "--profile", "local").out == "songs\n"
    cli("config", "set", "timeout", "3")
    assert cli("config", "profiles", "--json").json["profiles"]["remote"]["timeout"] == "3"
    cli("config", "unset", "timeout")
    cli("config", "unset", "timeout", code=1)
    del cli.env["VC_PROFILE"]
    cli("config", "delete-profile", "local")
    assert cli("config", "get", "collection").out == "bands\n"
    cli("config", "delete-profile", "local", code=2)


def test_a_profile_says_that_it_is_the_default(cli: Cli) -> None:
    cli("--db", "music", "use", "bands")
    told = cli("--profile", "copy", "--db", "elsewhere", "use", "bands").out
    assert "the default from now on; 'vc config unset profile' leaves it" in told
    assert "from now on" not in cli("use", "bands").out


def test_a_profile_that_nobody_names_is_not_changed(cli: Cli) -> None:
    cli("--db", "music", "use", "bands")
    cli("--profile", "copy", "--db", "elsewhere", "use", "bands")
    told = cli("--db", "music", "use", "bands", code=2).err
    assert "the profile copy is the default" in told
    assert "'vc config unset profile' leaves it" in told
    cli("--db", "elsewhere", "use", "bands")
    stored = cli("config", "profiles", "--json").json["profiles"]["copy"]
    assert stored == {"db": "elsewhere", "collection": "bands"}
    cli("--profile", "copy", "use", "songs")
    cli.env["VC_PROFILE"] = "copy"
    cli("--db", "art", "use", "songs")
    del cli.env["VC_PROFILE"]
    assert cli("config", "get", "db").out == "art\n"
    cli("config", "unset", "profile")
    assert cli("config", "get", "db").out == "music\n"
    cli("--db", "music", "use", "songs")


def test_a_directory_is_the_same_wherever_the_next_command_runs(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cli("config", "set", "data", "here")
    monkeypatch.chdir("/")
    assert cli("config", "get", "data").out == f"{tmp_path / 'here'}\n"


def test_a_profile_that_is_not_there(cli: Cli) -> None:
    for words in (("--profile", "none", "status"), ("--profile", "none", "use")):
        assert "vc config profiles" in cli(*words, code=2).err
    assert "letters, digits" in cli("--profile", "a b", "use", "bands", code=2).err
    assert cli("config", "profiles").out == "there are no profiles\n"


def test_a_secret_by_reference(cli: Cli) -> None:
    cli("config", "set", "uri", "mongodb://ada:${BANDS_PASSWORD}@127.0.0.1:1/music")
    cli("use", "bands")
    assert "BANDS_PASSWORD, which is not set" in cli("status", code=2).err
    cli.env |= {"BANDS_PASSWORD": SECRET, "VC_TIMEOUT": "0.1"}
    outcome = cli("status", code=None)
    assert outcome.code not in (0, 2)
    assert SECRET not in outcome.err + outcome.out
    assert SECRET not in Path(cli("config", "list", "--json").json["file"]).read_text()


def test_what_a_password_refers_to(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    cli("config", "set", "uri", "mongodb://127.0.0.1:1/music")
    cli("config", "set", "username", "ada")
    for reference, told in (
        ("${keyring:music:ada}", "the password refers to the keyring"),
        ("${MUSIC_PASSWORD}", "the password refers to the environment variable MUSIC_PASSWORD"),
    ):
        cli("config", "set", "password", reference)
        assert told in cli("-c", "bands", "status", code=2).err


@pytest.mark.parametrize(
    "words",
    [
        ("config", "set", "colour", "red"),
        ("config", "get", "colour"),
        ("config", "unset", "colour"),
        ("config", "set", "timeout", "soon"),
        ("config", "set", "db", ""),
        ("use",),
        ("config", "set"),
    ],
)
def test_wrong_settings(cli: Cli, words: tuple[str, ...]) -> None:
    assert cli(*words, code=2).out == ""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--db", "a b", "use", "bands"), "the name of a database holds no ' '"),
        (("config", "set", "db", "a.b"), "the name of a database holds no '.'"),
        (("--db", "x" * 64, "use", "bands"), "at most 63 bytes"),
        (("use", "a$b"), "the name of a collection holds no '$'"),
        (("use", "a..b"), "the name of a collection holds no '..'"),
        (("config", "set", "collection", ".a"), "has no '.' at an end"),
        (("use", ""), "is not empty"),
        (("-c", "\udcff\udcfe", "status"), "collection is '\\udcff\\udcfe'"),
        (("--db", "\udcff", "-c", "bands", "status"), "the name of a database is a text in UTF-8"),
    ],
)
def test_names_that_can_never_work(cli: Cli, words: tuple[str, ...], expected: str) -> None:
    assert expected in cli(*words, code=2).err
    assert not Path(cli("config", "list", "--json").json["file"]).exists()


def test_errors_of_settings_name_their_source(cli: Cli) -> None:
    cli("config", "set", "db", "music")
    path = Path(cli("config", "list", "--json").json["file"])
    path.write_text('db = "a b"\n')
    told = cli("-c", "bands", "status", code=2).err
    assert "db is 'a b'" in told
    assert "the configuration file says so: 'vc config set db' corrects it" in told
    cli("config", "set", "db", "music")
    cli.env["VC_COLLECTION"] = "a$b"
    assert "the variable VC_COLLECTION says so" in cli("status", code=2).err
    assert "the option --collection says so" in cli("-c", "b$", "status", code=2).err


def test_a_wide_file_is_repaired_by_any_command(cli: Cli) -> None:
    cli("use", "bands")
    path = Path(cli("config", "list", "--json").json["file"])
    path.chmod(0o644)
    assert "others could read" in cli("config", "get", "collection").err
    assert mode(path) == 0o600


# Credentials


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (URI, "mongodb://***@db.example:27017/music?authSource=admin"),
        ("at mongodb+srv://a:b@h/x, then", "at mongodb+srv://***@h/x, then"),
        ("mongodb://a:p@ss@h", "mongodb://***@h"),
        ("mongodb://h1,h2/db", "mongodb://h1,h2/db"),
        (
            "mongodb://h/?authMechanismProperties=AWS_SESSION_TOKEN:abc&w=1",
            "mongodb://h/?authMechanismProperties=***&w=1",
        ),
        ("ada@example.org", "ada@example.org"),
    ],
)
def test_redact(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_secrets_in_every_spelling() -> None:
    found = secrets_of("mongodb://ada:p%40ss%20w@h/", 'a"b c')
    for spelling in ("p%40ss%20w", "p@ss w", 'a"b c', 'a\\"b c', "a%22b+c", "a%22b%20c"):
        assert redact(f"x{spelling}y", found) == "x***y"
    assert secrets_of(None, None) == []
    assert secrets_of("mongodb://host", None) == []


def test_hide_reaches_everywhere() -> None:
    value = {"a": ["x hush", {"b": "hush"}, 1], "c": None}
    assert hide(value, ["hush"]) == {"a": ["x ***", {"b": "***"}, 1], "c": None}


COMMANDS = [
    ("config", "list"),
    ("config", "get", "password"),
    ("config", "get", "uri"),
    ("config", "set", "password", "hush-hush"),
    ("config", "get", "hush-hush"),
    ("status", "--timeout", "0.05"),
    ("hush-hush",),
    ("status", "hush-hush"),
    ("status", "--timeout", "hush-hush"),
    ("status", "mongodb://ada:hush-hush@h"),
    ("config", "unset", "password"),
]


PLAIN, LOGIN = "mongodb://127.0.0.1:1", "mongodb://ada:hush-hush@127.0.0.1:1"


@pytest.mark.parametrize(
    ("uri", "source", "json_too"),
    [
        (PLAIN, "environment", False),
        (PLAIN, "file", True),
        (PLAIN, "flag", False),
        (LOGIN, "environment", True),
        (LOGIN, "file", False),
        (LOGIN, "flag", True),
    ],
)
def test_no_output_shows_credentials(cli: Cli, uri: str, source: str, json_too: bool) -> None:
    words: list[str] = ["--json"] if json_too else []
    if source == "environment":
        cli.env |= {"VC_URI": uri, "VC_USERNAME": "ada", "VC_PASSWORD": "hush-hush"}
    elif source == "flag":
        words += ["--uri", uri]
        cli.env |= {"VC_PASSWORD": "hush-hush"}
    else:
        cli("config", "set", "uri", stdin=f"{uri}\n")
        cli("config", "set", "password", stdin="hush-hush\n")
    cli.env |= {"VC_DB": "music", "VC_COLLECTION": "bands"}
    for command in COMMANDS:
        outcome = cli(*words, *command, code=None)
        assert "hush" not in outcome.out + outcome.err, command


@pytest.mark.parametrize("user", ["ada", "a"])
def test_a_short_password_is_hidden_where_it_stands(cli: Cli, user: str) -> None:
    cli.env |= {"VC_URI": f"mongodb://{user}:1@127.0.0.1:1", "VC_LINGER": "15", "VC_DB": "1a"}
    cli.env |= {"VC_COLLECTION": "bands", "VC_TIMEOUT": "0.05"}
    listed = cli("config", "list", "--json").json["settings"]
    found = [listed[name]["value"] for name in ("uri", "linger", "db")]
    assert found == ["mongodb://***@127.0.0.1:1", "15", "1a"]
    assert "127.0.0.1:1: " in cli("status", code=8).err
    cli.env |= {"VC_URI": "mongodb://127.0.0.1:1", "VC_USERNAME": user, "VC_PASSWORD": "\u00a7"}
    for words in (("config", "list"), ("config", "get", "password"), ("status",)):
        outcome = cli(*words, code=None)
        assert "\u00a7" not in outcome.out + outcome.err


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://ada:hush@hush@h:x/",
        "mongodb://ada:hush/hush@h/",
        "mongodb://ada:hush hush@h/",
        "mongodb://ada:hush%zz@h/?x",
        "mongodb://ada:hush@h/?authMechanism=hush",
        "mongodb://:hush@h/",
        "http://ada:hush@h/",
        "ada:hush@h",
    ],
)
def test_a_malformed_connection_string_is_not_quoted(cli: Cli, uri: str) -> None:
    cli.env |= {"VC_DB": "music", "VC_COLLECTION": "bands", "VC_TIMEOUT": "0.05"}
    for words in (("status",), ("--json", "status"), ("config", "list")):
        outcome = cli("--uri", uri, *words, code=None)
        assert outcome.code in ((0,) if words[0] == "config" else (2, 8))
        assert "hush" not in outcome.out + outcome.err
