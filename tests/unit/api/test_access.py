"""Who may call, and what: tokens, roles, certificates, and what is said about each mistake."""

from __future__ import annotations

import datetime as dt
import importlib
import inspect
import time

import pytest
import trustme

from daq.api.door.access import READING, Access, Knock, read_access
from daq.api.door.tls import read_tls
from daq.config import UserConfig, parse_config
from daq.core import AuthenticationError, ConfigurationError, PermissionDeniedError
from daq.wire.generated import daq as pb

USERS = {
    "maria": UserConfig("0123456789abcdef-maria"),
    "wall": UserConfig("0123456789abcdef-wall", "read-only"),
}
ACCESS = Access(USERS, None)
MOVE, LIST = "/daq.HardwareService/MoveAbsolute", "/daq.HardwareService/ListDevices"
EXPIRED = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


def bearer(name: str) -> str:
    return f"Bearer {USERS[name].token}"


def test_a_token_says_who_calls():
    assert ACCESS.user(MOVE, bearer("maria"), None) == "maria"
    assert ACCESS.user(LIST, bearer("wall").replace("Bearer", "bearer"), None) == "wall"


@pytest.mark.parametrize("shown", [None, "", "Bearer", "Bearer ", "Basic bWFyaWE6eA==", b"\xff"])
def test_without_a_token_nobody_comes_in(shown):
    with pytest.raises(AuthenticationError, match="without one") as caught:
        ACCESS.user(LIST, shown, None)
    assert "DAQ_TOKEN" in caught.value.advice


@pytest.mark.parametrize(
    "token", ["x", "0123456789abcdef", "0123456789abcdef-mariaa", "mar\u00eda"]
)
def test_a_wrong_token_is_refused(token):
    with pytest.raises(AuthenticationError, match="does not know this token"):
        ACCESS.user(LIST, f"Bearer {token}", None)


def test_who_may_only_read_does_not_command():
    with pytest.raises(PermissionDeniedError, match="wall may only read, and MoveAbsolute"):
        ACCESS.user(MOVE, bearer("wall"), None)


def test_health_is_for_everybody_and_reflection_for_every_token():
    assert ACCESS.user("/grpc.health.v1.Health/Check", None, None) == ""
    reflection = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    assert ACCESS.user(reflection, bearer("wall"), None) == "wall"
    with pytest.raises(AuthenticationError):
        ACCESS.user(reflection, None, None)


def test_without_tokens_a_certificate_says_who_calls():
    subject = {"subject": ((("organizationName", "lab"),), (("commonName", "jo"),))}
    assert Access().user(MOVE, None, subject) == "jo"
    assert Access().user(MOVE, None, None) == ""


def test_a_token_is_good_until_it_expires_and_not_at_that_instant(monkeypatch):
    end = dt.datetime(2027, 1, 31, tzinfo=dt.UTC)
    access = Access({"maria": UserConfig(USERS["maria"].token, expires=end)}, is_open=False)
    now = [end.timestamp() - 1e-3]
    monkeypatch.setattr(time, "time", lambda: now[0])
    assert access.user(MOVE, bearer("maria"), None) == "maria"
    assert access.is_valid("maria")
    now[0] = end.timestamp()
    assert not access.is_valid("maria")
    with pytest.raises(AuthenticationError, match="the token of maria has expired") as caught:
        access.user(MOVE, bearer("maria"), None)
    assert "token_file" in caught.value.advice


def test_a_token_that_is_taken_away_is_not_known_any_more():
    access = Access(USERS, is_open=False, owners=())
    access.reconfigure({"wall": USERS["wall"]})
    with pytest.raises(AuthenticationError, match="does not know this token"):
        access.user(MOVE, bearer("maria"), None)
    assert (access.is_valid("maria"), access.is_valid("wall")) == (False, True)


@pytest.mark.parametrize("method", ["ClearQueue", "ReloadConfiguration", "SavePreset"])
def test_the_queue_and_the_bench_are_changed_by_who_may_control(method):
    route = f"/daq.BenchService/{method}"
    assert ACCESS.user(route, bearer("maria"), None) == "maria"
    with pytest.raises(PermissionDeniedError, match=f"wall may only read, and {method}"):
        ACCESS.user(route, bearer("wall"), None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "bench.lab", "192.168.1.5"])
def test_beyond_loopback_a_daemon_asks_for_proof_or_is_told_otherwise(folder, host):
    given = f'host = "{host}"\n'
    with pytest.raises(ConfigurationError, match="could move the instruments") as caught:
        read_access(server(folder, given))
    assert caught.value.message.startswith(f"{folder}/lab.toml:2: server.host: ")
    assert "--insecure" in caught.value.advice
    told = read_access(server(folder, given + "insecure = true\n"))
    assert told.user(MOVE, None, None) == ""
    assert any("can move the instruments" in warning for warning in told.warnings(host))
    tokens = folder / "tokens.toml"
    tokens.write_text('[maria]\ntoken = "0123456789abcdef-maria"\nexpires = 2999-01-01\n')
    tokens.chmod(0o600)
    proved = read_access(server(folder, given + 'token_file = "tokens.toml"\n'))
    assert proved.user(MOVE, bearer("maria"), None) == "maria"
    with pytest.raises(AuthenticationError):
        proved.user(MOVE, None, None)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_on_loopback_a_daemon_serves_its_user_and_needs_no_more(folder, host):
    access = read_access(server(folder, f'host = "{host}"\n'), owners=(1000,))
    assert access.user(MOVE, None, None, Knock(is_near=True, uid=1000)) == ""
    with pytest.raises(AuthenticationError, match="the daemon belongs to"):
        access.user(MOVE, None, None, Knock(is_near=True, uid=1001))


CHANGING = {
    "RestartDevice", "DisableDevice", "EnableDevice", "ReloadConfiguration", "SavePreset",
    "LoadPreset", "DeletePreset", "ClearQueue",
    "UploadScript", "StartScript", "StopScript", "PauseScript",
    "ResumeScript", "MoveAbsolute", "MoveRelative", "StopMotion", "Arm", "Trigger", "SetExposure",
    "SetShutter", "SetWavelength", "SetEmission", "StartStream", "StopStream", "StageDevice",
    "UnstageDevice", "ExecuteDeviceCommand", "SetParameter", "ResetInterlock", "StartRun",
    "RecordPoint", "StopRun", "RebuildCatalogue",
}  # fmt: skip


def test_every_method_is_known_to_read_or_to_change():
    bases = [cls for name, cls in vars(pb).items() if name.endswith("ServiceBase")]
    bases = [cls for cls in bases if inspect.isclass(cls) and cls.__module__ == pb.__name__]
    routes = {route for base in bases for route in base().__mapping__()}
    assert {route for route in routes if route.rpartition("/")[2] not in CHANGING} == READING


@pytest.mark.parametrize(
    ("host", "access", "expected"),
    [
        ("127.0.0.1", Access(), []),
        ("::1", Access(), []),
        ("localhost", Access(), []),
        ("0.0.0.0", Access(), ["can move the instruments", "can be read in the network"]),
        ("bench.lab", ACCESS, ["tokens included, can be read in the network"]),
    ],
)
def test_serving_carelessly_is_warned_about(host, access, expected):
    warnings = access.warnings(host)
    assert len(warnings) == len(expected)
    for warning, words in zip(warnings, expected, strict=True):
        assert words in warning
        assert host in warning


# ------------------------------------------------------------------------------------------ files


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def folder(tmp_path, authority):
    """A certificate for 127.0.0.1, its key, and the authority of both."""
    made = authority.issue_cert("127.0.0.1")
    (tmp_path / "cert.pem").write_bytes(b"".join(pem.bytes() for pem in made.cert_chain_pems))
    made.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    old = authority.issue_cert("127.0.0.1", not_after=EXPIRED)
    old.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "old.pem"))
    (tmp_path / "text.pem").write_text("[maria]\n")
    return tmp_path


def server(folder, text):
    return parse_config(f"[server]\n{text}", folder / "lab.toml").server


def test_a_certificate_with_its_key_is_taken_and_clients_may_be_asked_for_theirs(folder):
    given = 'tls_certificate = "cert.pem"\ntls_key = "key.pem"\n'
    assert read_tls(server(folder, "")) is None
    plain = read_tls(server(folder, given))
    asking = read_tls(server(folder, given + 'tls_client_ca = "ca.pem"'))
    assert (plain.asks_clients, asking.asks_clients) == (False, True)
    assert b"PRIVATE" not in repr(plain).encode()
    assert Access({}, asking).warnings("0.0.0.0") == []
    assert len(Access({}, plain).warnings("0.0.0.0")) == 1


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ('tls_certificate = "cert.pem"', 2, "it needs tls_key, too"),
        ('tls_key = "key.pem"', 2, "it needs tls_certificate, too"),
        ('port = 0\ntls_client_ca = "ca.pem"', 3, "it needs tls_certificate and tls_key, too"),
        ('tls_certificate = "cert.pem"\ntls_key = "no.pem"', 3, "cannot be read: No such file"),
        ('tls_certificate = "cert.pem"\ntls_key = "old.pem"', 3, "is not the key of the certif"),
        ('tls_certificate = "cert.pem"\ntls_key = "text.pem"', 3, "holds no private key in PEM"),
        ('tls_certificate = "text.pem"\ntls_key = "key.pem"', 2, "holds no certificate in PEM"),
        ('tls_certificate = "old.pem"\ntls_key = "old.pem"', 2, "certificate has expired"),
        (
            'tls_certificate = "cert.pem"\ntls_key = "key.pem"\ntls_client_ca = "text.pem"',
            4,
            "holds no certificate in PEM",
        ),
    ],
)
def test_files_that_cannot_be_used_are_told_with_option_and_line(folder, text, line, problem):
    with pytest.raises(ConfigurationError, match=problem) as caught:
        read_access(server(folder, text))
    option = text.splitlines()[line - 2].partition(" ")[0]
    assert caught.value.message.startswith(f"{folder}/lab.toml:{line}: server.{option}: ")


def test_a_certificate_that_ends_soon_is_warned_about(folder, authority, caplog):
    end = dt.datetime.now(dt.UTC) + dt.timedelta(days=3, hours=1)
    soon = authority.issue_cert("127.0.0.1", not_after=end)
    soon.private_key_and_cert_chain_pem.write_to_path(str(folder / "soon.pem"))
    read_access(server(folder, 'tls_certificate = "soon.pem"\ntls_key = "soon.pem"'))
    assert "ends in 3 days" in caplog.text


def test_a_token_file_that_others_can_read_is_refused_with_the_command_that_helps(folder):
    path = folder / "tokens.toml"
    path.write_text('[maria]\ntoken = "0123456789abcdef-maria"\n')
    path.chmod(0o600)
    access = read_access(server(folder, 'token_file = "tokens.toml"'))
    assert access.user(MOVE, bearer("maria"), None) == "maria"
    for mode in (0o644, 0o640, 0o606):
        path.chmod(mode)
        with pytest.raises(ConfigurationError, match=f"others can read .*chmod 600 {path}"):
            read_access(server(folder, 'token_file = "tokens.toml"'))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "there is no user in it"),
        ("[maria]\n", "toml:1: maria.token: is missing"),
        ('[maria]\ntoken = "short"', ":2: maria.token: a token has 16 or more of letters"),
        (
            '[maria]\ntoken = "with spaces in between"',
            ":2: maria.token: a token has 16 or more of letters",
        ),
        ('[a]\ntoken = "0123456789abcdef"\nrole = "raed-only"', ":3: a.role: there is no role"),
        (
            '[a]\ntoken = "0123456789abcdef"\n[b]\ntoken = "0123456789abcdef"',
            ":4: b.token: another user has the same token",
        ),
        ('token = "0123456789abcdef"', "is not a table [token]"),
    ],
)
def test_a_wrong_token_file_says_where_and_what(folder, text, problem):
    (folder / "tokens.toml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_access(server(folder, 'token_file = "tokens.toml"'))
    assert "lab.toml:2: server.token_file: " in caught.value.message
    assert problem in caught.value.message


def test_the_names_of_the_reading_methods_are_sorted_for_the_reader():
    source = inspect.getsource(importlib.import_module("daq.api.door.access"))
    named = [line.strip(' ",') for line in source.splitlines() if line.startswith('        "/daq.')]
    assert named == sorted(READING)
