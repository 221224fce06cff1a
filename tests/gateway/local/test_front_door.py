"""What `python -m gateway.local` says to whoever started it, and to whom it tells the key."""

import hashlib
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gateway.local.front_door import OWN_KEY, ApiKey, FrontDoor, announce, find_api_key, say
from gateway.local.triton_wheel import CannotServe

DIGEST = f"sha256:{hashlib.sha256(b'KEY').hexdigest()}"
SHELL = "$(cat there)"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "made" / "it's a key"


def pasted(expression: str) -> str:
    """What a shell makes of an expression within double quotes."""
    line = ["/bin/sh", "-c", f'printf %s "{expression}"']
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout


def test_a_key_is_made_once_and_for_its_owner_only(file: Path) -> None:
    first = find_api_key({}, file)
    assert first.key.startswith("te-")
    assert len(first.key) > 30
    assert (first.home, first.file) == (f"in {file}", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert pasted(first.shell) == first.key
    assert find_api_key({"GATEWAY_API_KEYS": " , "}, file) == first
    assert first.key not in repr(first)


def test_the_key_of_a_file_may_stand_anywhere_in_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.parent.mkdir()
    file.write_bytes(b"# keys\r\n%s\r\n  te-first \r\nte-second\r\n" % DIGEST.encode())
    monkeypatch.chdir(file.parent)
    key = find_api_key({}, Path(file.name))
    assert (key.key, key.file, key.home) == ("te-first", file.name, f"in {file}")
    monkeypatch.chdir("/")  # the line may be pasted elsewhere
    assert pasted(key.shell).strip() == "te-first"


def test_a_key_of_the_environment_goes_before_the_file(file: Path) -> None:
    key = find_api_key({"GATEWAY_API_KEYS": f"{DIGEST}, mine ,other"}, file)
    assert (key.key, key.home, key.file) == ("mine", "in GATEWAY_API_KEYS", "")
    assert not file.exists()


def test_the_key_of_the_environment_is_read_from_the_process_that_has_it(tmp_path: Path) -> None:
    program = (
        "import os, pathlib\n"
        "from gateway.local.front_door import find_api_key\n"
        "print(find_api_key(os.environ, pathlib.Path('nowhere')).shell, flush=True)\n"
        "input()\n"
    )
    environment = {"GATEWAY_API_KEYS": f"{DIGEST}, it's $mine ,other", "PATH": os.environ["PATH"]}
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        shell = process.stdout.readline().strip()
        assert pasted(shell).strip() == "it's $mine"
        assert "mine" not in shell
        process.communicate("\n")


@pytest.mark.parametrize("is_named", [True, False])
def test_a_key_known_by_its_digest_makes_no_other(file: Path, is_named: bool) -> None:
    environ = {"GATEWAY_API_KEYS": DIGEST}
    if is_named:
        file.parent.mkdir()
        file.write_text(f"# mine\n{DIGEST}\n")
        environ["GATEWAY_API_KEYS_FILE"] = str(file)
    key = find_api_key(environ, file.with_name("default"))
    assert (key.key, key.shell, key.file) == ("", OWN_KEY, str(file) if is_named else "")
    assert key.home.startswith("yours; ")
    assert not file.with_name("default").exists()
    assert file.exists() is is_named


@pytest.mark.parametrize("named", [True, False])
def test_a_file_of_digests_alone_makes_no_other(file: Path, named: bool) -> None:
    file.parent.mkdir()
    file.write_text(f"{DIGEST}\n")
    environ = {"GATEWAY_API_KEYS_FILE": str(file)} if named else {}
    key = find_api_key(environ, Path("nowhere") if named else file)
    assert key == ApiKey(f"yours; {file} holds its digest", OWN_KEY, file=str(file))
    assert file.read_text() == f"{DIGEST}\n"


def test_a_key_of_the_environment_leaves_the_named_file_to_the_settings(file: Path) -> None:
    environ = {"GATEWAY_API_KEYS": "mine", "GATEWAY_API_KEYS_FILE": "named"}
    assert find_api_key(environ, file).file == "named"


def test_the_file_of_the_environment_has_the_key_where_it_has_digests_only(file: Path) -> None:
    file.parent.mkdir()
    file.write_text("te-mine\n")
    environ = {"GATEWAY_API_KEYS": DIGEST, "GATEWAY_API_KEYS_FILE": str(file)}
    assert find_api_key(environ, Path("nowhere")).key == "te-mine"


def test_where_everybody_is_let_in_no_key_is_made(file: Path) -> None:
    environ = {"GATEWAY_AUTH": "off", "GATEWAY_API_KEYS": "mine"}
    assert find_api_key(environ, file) == ApiKey("none is asked for", "")
    assert not file.exists()
    assert find_api_key({"GATEWAY_AUTH": "required"}, file).key


@pytest.mark.parametrize(
    ("environ", "content", "reason"),
    [
        ({}, b"# nothing\n\n", "is no file of API keys: it holds no key"),
        ({}, b"\xff", "is no file of API keys: it is not text in UTF-8"),
        ({}, b"sha256:secret", "is no file of API keys: line 1 looks like a digest"),
        ({"GATEWAY_API_KEYS_FILE": "/proc/none"}, None, "/proc/none cannot be read: No such file"),
        ({"GATEWAY_API_KEYS": "sha256:secret"}, None, "GATEWAY_API_KEYS: key 1 looks like a"),
        (
            {"GATEWAY_API_KEYS": DIGEST, "GATEWAY_API_KEYS_FILE": "/proc/none"},
            None,
            "/proc/none cannot be read",
        ),
    ],
)
def test_what_holds_no_key_is_refused(
    file: Path, environ: dict[str, str], content: bytes | None, reason: str
) -> None:
    if content is not None:
        file.parent.mkdir()
        file.write_bytes(content)
    with pytest.raises(CannotServe, match=reason) as told:
        find_api_key(environ, file)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1:80"),
        ("0.0.0.0", "127.0.0.1:80"),  # noqa: S104
        ("::", "[::1]:80"),
        ("fe80::1", "[fe80::1]:80"),
        ("box.lan", "box.lan:80"),
    ],
)
def test_the_address_is_one_a_client_can_connect_to(host: str, address: str) -> None:
    assert FrontDoor(host, 80, ApiKey("there", SHELL, "k")).address == address


def words_of(line: str) -> list[str]:
    """The words that a shell makes of a line."""
    program = "import json, sys; json.dump(sys.argv[1:], sys.stdout)"
    script = f"curl() {{ {sys.executable} -c '{program}' \"$@\"; }}\n{line}"
    return list(json.loads(subprocess.check_output(["/bin/sh", "-c", script], text=True)))


@pytest.mark.parametrize(
    ("api_key", "shows_key", "authorization"),
    [
        (ApiKey("there", "$(echo 'k$y')", "k'$y"), True, ["Authorization: Bearer k'$y"]),
        (ApiKey("there", "$(echo 'k$y')", "k'$y"), False, ["Authorization: Bearer k$y"]),
        (ApiKey("yours", "$(echo mine)"), True, ["Authorization: Bearer mine"]),
        (ApiKey("none", ""), True, []),
        (ApiKey("none", ""), False, []),
    ],
    ids=["shown", "read", "of-the-operator", "none-shown", "none"],
)
def test_the_curl_line_survives_the_shell(
    api_key: ApiKey, shows_key: bool, authorization: list[str]
) -> None:
    line = FrontDoor("127.0.0.1", 80, api_key).curl("it's/a $model", shows_key)
    words = words_of(line)
    assert words[:2] == ["-s", "http://127.0.0.1:80/v1/embeddings"]
    assert [word for word in words if word.startswith("Authorization")] == authorization
    assert "Content-Type: application/json" in words
    body = json.loads(words[words.index("-d") + 1])
    assert body == {"model": "it's/a $model", "input": "Hello, world"}


def test_a_terminal_is_told_the_key() -> None:
    banner = FrontDoor("::1", 80, ApiKey("in a file", SHELL, "te-key")).banner(["a", "b"], True)
    lines = banner.splitlines()
    assert lines[1:4] == [
        "Ready at http://[::1]:80",
        "  models   a, b",
        "  API key  te-key (kept in a file)",
    ]
    assert lines[4].startswith("  try      curl -s 'http://[::1]:80/v1/embeddings' ")
    assert "te-key" in lines[4]
    assert '"model": "a"' in lines[4]


@pytest.mark.parametrize("key", ["te-key", ""])
def test_a_log_is_told_where_the_key_is(key: str) -> None:
    banner = FrontDoor("::1", 80, ApiKey("in a file", SHELL, key)).banner(["a"], False)
    assert "te-key" not in banner
    assert "  API key  in a file\n" in banner
    assert f'-H "Authorization: Bearer {SHELL}"' in banner


def test_it_is_announced_once_there_are_models(capsys: pytest.CaptureFixture[str]) -> None:
    answers = iter([[], [], ["toy"]])
    front_door = FrontDoor("::1", 80, ApiKey("there", SHELL, "te-key"))
    announce(front_door, lambda: next(answers), threading.Event())
    printed = capsys.readouterr().out
    assert printed.count("Ready at") == 1
    assert "te-key" not in printed  # what pytest captures is no terminal


def test_nothing_is_announced_when_it_ends_before(capsys: pytest.CaptureFixture[str]) -> None:
    stopping = threading.Event()
    stopping.set()
    announce(FrontDoor("::1", 80, ApiKey("there", SHELL)), list, stopping)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("is_terminal", [True, False])
def test_the_key_goes_to_a_terminal_alone(is_terminal: bool) -> None:
    program = (
        "import threading\n"
        "from gateway.local.front_door import ApiKey, FrontDoor, announce\n"
        "door = FrontDoor('::1', 80, ApiKey('there', '$(cat)', 'te-key'))\n"
        "announce(door, lambda: ['toy'], threading.Event())\n"
    )
    ours, theirs = os.openpty() if is_terminal else os.pipe()
    subprocess.run([sys.executable, "-c", program], stdout=theirs, check=True)
    os.close(theirs)
    printed = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "Ready at" in printed
    assert ("te-key" in printed) is is_terminal


def test_nobody_has_to_listen() -> None:
    program = (
        "import sys\n"
        "from gateway.local.front_door import say\n"
        "sys.stdin.readline()\n"
        "for _ in range(3): say('x')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write("\n")
        process.stdin.close()
        assert process.stderr.read().count("nobody reads what is printed: Broken pipe") == 1
        assert process.wait(10) == 0


def test_what_is_said_is_out_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    say("x")
    assert capfd.readouterr().out == "x\n"
