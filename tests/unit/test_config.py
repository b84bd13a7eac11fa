"""Configuration: what is accepted, and how each mistake is explained."""

from pathlib import Path

import pytest

from daq.config import Config, load_config, parse_config
from daq.core import ConfigurationError

FILE = Path("/lab/bench.toml")


def refused(text):
    with pytest.raises(ConfigurationError) as caught:
        parse_config(text, FILE)
    return str(caught.value)


def test_an_empty_file_gives_the_defaults_and_no_devices():
    config = parse_config("", FILE)
    assert (config.server.host, config.server.port) == ("127.0.0.1", 50051)
    assert config.scripts.grace_s == 5.0
    assert config.devices == {}


def test_every_section_is_read():
    config = parse_config(
        """
        [server]
        host = "0.0.0.0"
        port = 6000
        [storage]
        directory = "data"
        [scripts]
        grace_s = 2
        memory_mb = 256
        max_duration_s = 3600
        [devices.rotator]
        driver = "thorlabs.ell14"
        port = "/dev/ttyUSB0"
        """,
        FILE,
    )
    assert config.server.port == 6000
    assert config.storage.directory == Path("/lab/data")
    assert config.scripts.grace_s == 2.0
    assert config.scripts.max_duration_s == 3600.0
    rotator = config.devices["rotator"]
    assert rotator.driver == "thorlabs.ell14"
    assert rotator.options == {"port": "/dev/ttyUSB0"}
    assert (rotator.path, rotator.line) == (FILE, 11)


def test_without_a_file_the_simulated_bench_comes_up():
    config = load_config(None)
    assert set(config.devices) >= {
        "stage",
        "power_meter",
        "camera",
        "laser",
        "rotator",
        "digitizer",
    }
    assert config.source is None


def test_the_command_line_wins_over_the_file():
    config = Config().with_overrides(host="::1", port=0, directory=Path("/tmp/x"))
    assert config.server.host == "::1"
    assert config.server.port == 0
    assert config.storage.directory == Path("/tmp/x")
    assert Config().with_overrides() == Config()


def test_a_missing_file_is_named():
    with pytest.raises(ConfigurationError, match=r"/no/such\.toml: cannot be read: No such file"):
        load_config(Path("/no/such.toml"))


def test_a_binary_file_is_refused(tmp_path):
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="not a text file"):
        load_config(path)


def test_broken_toml_tells_where():
    assert "/lab/bench.toml:1: " in refused("[server\n")
    assert "line 1" in refused("[server\n")


def test_an_unknown_table_suggests_the_right_one():
    message = refused("\n[sever]\nport = 1\n")
    assert message.startswith("/lab/bench.toml:2: sever: there is no such key; ")
    assert "did you mean 'server'?" in message


def test_an_unknown_option_suggests_the_right_one():
    message = refused("[server]\nhost = 'x'\nprot = 1\n")
    assert message.startswith("/lab/bench.toml:3: server.prot: there is no such key; ")
    assert "did you mean 'port'?" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[server]\nport = '50'\n", ":2: server.port: '50' is not a whole number"),
        ("[server]\nport = true\n", ":2: server.port: True is not a whole number"),
        ("[server]\nport = -1\n", ":2: server.port: -1 is not a whole number, at least 0"),
        ("[scripts]\ngrace_s = 'x'\n", ":2: scripts.grace_s: 'x' is not a number"),
        ("server = 3\n", "server: 3 is not a table [server]"),
        ("devices = 3\n", "devices: 3 is not tables such as [devices.stage]"),
        ("[devices]\nstage = 3\n", ":2: devices.stage: 3 is not a table [devices.stage]"),
        (
            "[devices.stage]\nport = 'x'\n",
            ':1: devices.stage.driver: is missing; give it as driver = "..."',
        ),
        ("[devices.'my stage']\ndriver = 'x'\n", "a name is letters, digits and _"),
    ],
)
def test_each_mistake_says_where_it_stands_and_what_was_expected(text, expected):
    assert expected in refused(text)
