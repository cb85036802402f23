"""The command `trader` as a person meets it: help, exit codes, errors in one sentence, and what deleting refuses."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cli_kit import trader

from trader import __version__, cli
from trader.errors import AmbiguousError, ConfigError, CorruptError, LeaseLostError, RejectedError, RetryableError, TraderError

ROOT = Path(cli.__file__).parents[2]
TRADER = str(Path(sys.executable).with_name("trader"))
VERBS = ["demo", "up", "verify", "status", "doctor", "reset", "twin", "pause", "resume", "stop", "exit", "flatten", "ingest", "trade",
         "report", "backtest", "config", "optimize", "ai", "data", "db", "night"]  # fmt: skip


def process(*words: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """The installed command, as a shell starts it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRADER_")}
    return subprocess.run(
        [TRADER, *words], cwd=cwd, env=kept | environ, capture_output=True, text=True, timeout=100, check=False, stdin=subprocess.DEVNULL
    )


# --- help --------------------------------------------------------------------------------------------------------------
def test_help_lists_every_verb_with_a_whole_sentence(tmp_path: Path) -> None:
    done = trader("--help", cwd=tmp_path, COLUMNS="80")
    assert done.returncode == 0
    assert done.stderr == ""
    listed = dict(re.findall(r"^  ([a-z]+) +(\S.*)$", done.stdout.split("Commands:\n")[1], re.M))
    assert list(listed) == VERBS
    assert all(text.endswith(".") and not text.endswith("...") for text in listed.values()), listed


@pytest.mark.parametrize("group", ["ai", "data", "db", "night"])
def test_a_group_lists_its_verbs_with_whole_sentences(group: str, tmp_path: Path) -> None:
    listed = re.findall(r"^  [a-z]+ +(\S.*)$", trader(group, "--help", cwd=tmp_path, COLUMNS="80").stdout.split("Commands:\n")[1], re.M)
    assert len(listed) >= 3
    assert all(text.endswith(".") and not text.endswith("...") for text in listed), listed


def test_no_word_at_all_shows_the_help(tmp_path: Path) -> None:
    bare = trader(cwd=tmp_path)
    assert (bare.returncode, bare.stdout) == (0, trader("--help", cwd=tmp_path).stdout)


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_says_what_it_is(verb: str, tmp_path: Path) -> None:
    done = trader(verb, "--help", cwd=tmp_path, COLUMNS="200")
    assert done.returncode == 0
    options = re.findall(r"^  (--[a-z-]+)(?: <[^>]*>)?(.*)$", done.stdout, re.M)
    assert options
    assert [name for name, text in options if not re.search(r"[a-z]{2}", text)] == []


def test_help_costs_less_than_half_a_second_of_cpu(tmp_path: Path) -> None:
    spent = []
    for _ in range(3):
        before = os.times()
        assert process("--help", cwd=tmp_path).returncode == 0
        after = os.times()
        spent.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(spent) < 0.5


def test_the_version_is_the_packages(tmp_path: Path) -> None:
    assert process("--version", cwd=tmp_path).stdout == f"trader {__version__}\n"


def test_nothing_is_coloured_with_or_without_no_color(tmp_path: Path) -> None:
    for environ in ({"NO_COLOR": "1"}, {"FORCE_COLOR": "1", "TERM": "xterm-256color"}):
        for words in (("--help",), ("config",), ("demo", "--bogus")):
            done = process(*words, cwd=tmp_path, **environ)
            assert "\x1b" not in done.stdout + done.stderr, words
            assert done.stdout + done.stderr


# --- exit codes --------------------------------------------------------------------------------------------------------
REFUSED = [
    (("--bogus",), 2, "No such option: --bogus"),
    (("bogus",), 2, "No such command 'bogus'"),
    (("demo", "--bogus"), 2, "see `trader demo --help`"),
    (("demo", "--minutes", "soon"), 2, "'--minutes'"),
    (("demo", "--minutes", "0"), 2, "'--minutes'"),
    (("demo", "--strategy", "mitraillette"), 2, "MODE/VARIATION"),
    (("demo", "--strategy", "sniper/BOLD"), 2, "one of mitraillette/CONSERVATIVE, "),
    (("demo", "--speed", "fast"), 2, "--speed"),
    (("demo", "--replay", "no-such.parquet"), 2, "--from"),
    (("demo", "--plan", "no-such.toml"), 2, "no-such.toml"),
    (("demo", "--config", "no-such.toml"), 2, "no-such.toml"),
    (("up", "--env", "live"), 3, "E-ARM-001 live trading is not armed"),
    (("up", "--env", "paper"), 2, "ai.mode 'veto' needs a key"),
    (("up", "--env", "moon"), 2, "'--env'"),
    (("twin", "kraken", "--from", "2024-07-15"), 2, "--replay"),
    (("twin", "kraken", "--replay", "no-such.parquet"), 2, "no-such.parquet"),
    (("twin", "binance"), 2, "kraken, gemini"),
    (("twin", "gemini", "--tier", "silver"), 2, "--tier 'silver': of gemini only free, or none"),
    (("twin", "kraken", "--switch", "colour=red"), 2, "--switch 'colour=red': write NAME=VALUE; NAME is one of frames_per_minute, "),
    (("exit",), 2, "Missing argument"),
    (("verify",), 2, "no session has run here"),
    (("pause",), 1, "no ledger there"),
    (("resume", "--reason", "so"), 2, "--cause and --reason go together"),
    (("resume", "--cause", "DAILY_LOSS"), 2, "--cause and --reason go together"),
    (("flatten",), 3, "--yes"),
    (("flatten", "--yes"), 1, "no ledger there"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "code", "said"), REFUSED, ids=[" ".join(words) for words, _, _ in REFUSED])
def test_what_cannot_be_done_is_one_sentence_and_an_exit_code(words: tuple[str, ...], code: int, said: str, tmp_path: Path) -> None:
    done = trader(*words, cwd=tmp_path)
    assert done.returncode == code
    assert done.stdout == ""
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_the_exit_codes_leave_the_process(tmp_path: Path) -> None:
    """Typer hands codes back instead of raising them; they must not be lost on the way out."""
    codes = [process(*words, cwd=tmp_path).returncode for words in (("config",), ("pause",), ("--bogus",), ("flatten",))]
    assert codes == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("c"), 2), (LeaseLostError("l"), 5), (RetryableError("r"), 4), (CorruptError("x"), 1), (RejectedError("j"), 1),
        (AmbiguousError("a"), 1), (TraderError("t"), 1),
    ],
)  # fmt: skip
def test_every_error_has_its_exit_code(
    error: TraderError, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "settings_from", lambda *_, **__: fail())
    assert cli.run(["config"]) == code
    assert capsys.readouterr().err == f"trader: {error}\n"


def test_an_interrupt_is_130_without_a_word(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "settings_from", interrupted)
    assert cli.run(["config"]) == 130
    assert capsys.readouterr().err == ""


def test_a_bug_is_not_dressed_up_as_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "settings_from", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.run(["config"])


# --- settings ----------------------------------------------------------------------------------------------------------
SECRET = "hunter2-hunter2"


@pytest.mark.parametrize(
    ("environ", "key"),
    [
        ({"TRADER_HALTS__STOPS": SECRET}, "halts.stops"),
        ({"TRADER_MARKET__SEEED": SECRET}, "did you mean 'market.seed'"),
        ({"TRADER_AI__MODE": SECRET}, "ai.mode"),
        ({"TRADER_MARKET__X": SECRET}, "known: market.seed, market.pairs, market.epoch, "),
        ({"TRADER_MODE__X": SECRET, "TRADER_MODE": "sniper"}, "mode is set to one value and has no parts"),
        ({"TRADER_MARKET__EPOCH": SECRET}, "market.epoch: not a date or time such as 2026-01-05"),
        ({"TRADER_MARKET__EPOCH": "1999-12-31"}, "market.epoch: must lie in the years 2000 to 2099"),
        ({"TRADER_MARKET__SEED": "9" * 20}, "market.seed: input should be less than or equal to"),
        ({"TRADER_KRAKEN__URL": SECRET}, "kraken.url: must begin with http:// or https://"),
        ({"TRADER_KRAKEN__WS_URL": SECRET}, "kraken.ws_url: must begin with ws:// or wss://"),
        ({"TRADER_PAIRS__DENY": SECRET}, "pairs.deny: input should be a list"),
        ({"TRADER_STATE_DIR": ""}, "state_dir"),
        ({"TRADER_PORTS__WEB": "4200"}, "ports: prefect and web are the same"),
        ({"TRADER_PORTS__WEB": "99999"}, "ports.web"),
        ({"TRADER_HALTS__DRAWDOWN_FRACTION": "5"}, "write 0.05 for 5 %"),
    ],
)
def test_a_wrong_setting_is_named_and_its_value_is_not_shown(environ: dict[str, str], key: str, tmp_path: Path) -> None:
    done = trader("config", cwd=tmp_path, **environ)
    assert done.returncode == 2
    assert key in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert SECRET not in done.stderr + done.stdout
    assert "99999" not in done.stderr


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (b"\xff\xfe", "trader.toml: not valid TOML"),
        (b'[pairs]\ndeny = ["ALL"]', "pairs.deny: entry 1 is no pair such as DOGE/EUR"),
        (b"market = 5", "market: input should be a table"),
        (b"[halts]\nstops = true", "halts.stops: true and false are no value of it"),
    ],
)
def test_a_file_that_says_nothing_usable_is_one_sentence(
    written: bytes, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("trader.toml").write_bytes(written)
    assert cli.run(["config"]) == 2
    said = capsys.readouterr().err
    assert words in said and len(said.splitlines()) == 1


def test_a_secret_in_a_file_is_refused_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "trader.toml").write_text(f'slack_token = "{SECRET}"\n')
    done = trader("config", cwd=tmp_path)
    assert done.returncode == 2
    assert "TRADER_SLACK_TOKEN" in done.stderr
    assert SECRET not in done.stderr + done.stdout


def test_the_effective_settings_say_set_or_unset_of_secrets(tmp_path: Path) -> None:
    (tmp_path / "trader.toml").write_text("[market]\nseed = 5\n")
    done = trader("config", "--json", cwd=tmp_path, TRADER_SLACK_TOKEN=SECRET, TRADER_MARKET__PAIRS="9")
    shown = json.loads(done.stdout)
    assert shown["slack_token"] == "set"
    assert (shown["market"]["seed"], shown["market"]["pairs"]) == (5, 9)
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["demo", "--pairs", "0"], (2, "value '0' for '--pairs'")),
        (["demo", "--minutes", "x"], (2, "value 'x' for '--minutes'")),
        (["status", "--state", "FILE"], (2, "FILE' is a file")),
        (["config", "--config", "."], (2, "'.' is a directory")),
        (["demo", "--state", "FILE/x"], (1, "Not a directory: FILE/x")),
        (["night", "--day", "2026-02-30"], (2, "day '2026-02-30': write a UTC day")),
        (["demo", "--ai", "on"], (2, "--ai 'on': allowed are off, shadow, veto, cassette")),
        (["demo", "--from", "1900-01-06"], (2, "market.epoch")),
        (["twin", "--from", "2026-01-06"], (2, "--from '2026-01-06' names the first moment of a replay: add --replay FILE")),
        (["demo", "--state", "FILE"], (2, "FILE' is a file")),
        (["backtest", "S1", "--data", "FILE", "--html", "FILE"], (2, "--html FILE: is read by this run")),
        (["backtest", "S1", "--data", "."], (2, "candle file . is no file")),
        (["twin", "gemini", "--tls-port", "0"], (2, "--tls-port: is an option of `trader twin kraken`")),
        (["twin", "gemini", "--from", "2026-01-06"], (2, "--replay: is an option of `trader twin kraken`")),
        (["twin", "--tier", "gold"], (2, "tier 'gold': allowed are starter, intermediate, pro, none")),
        (["db", "restore", "TEXT", "--yes"], (1, "TEXT: file is not a database; it is no sound backup, nothing was restored")),
        (["ingest", "--plan", "--state", "nowhere"], (2, "nowhere/clock.json: no demo is running here")),
        (["night", "--day", "2999-01-01"], (2, "day 2999-01-01 is not over: the exchange's time is ")),
        (["optimize", "--data", "none.parquet"], (2, "candle file none.parquet does not exist")),
    ],
)
def test_a_bad_value_is_one_sentence_with_the_value(
    words: list[str], answer: tuple[int, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").touch()
    (tmp_path / "TEXT").write_text("no database, but long enough to be taken for the first page of one")
    code, named = answer
    assert cli.run(words) == code
    said = capsys.readouterr().err
    assert named in said and len(said.splitlines()) == 1
    assert not (tmp_path / "nowhere").exists()


def test_the_settings_are_a_line_each_under_the_keys_of_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["config"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 60 and max(map(len, lines)) <= 100
    assert "optimizer.lock                   false" in lines


def test_an_option_beats_the_environment_and_that_the_file(tmp_path: Path) -> None:
    (tmp_path / "trader.toml").write_text("[market]\nseed = 5\npairs = 6\n")
    settings = cli.settings_from(tmp_path / "trader.toml", market__seed=7)
    assert (settings.market.seed, settings.market.pairs) == (7, 6)


# --- status and reset --------------------------------------------------------------------------------------------------
def test_status_of_an_empty_directory_is_an_answer_and_json(tmp_path: Path) -> None:
    done = trader("status", "--json", cwd=tmp_path)
    assert done.returncode == 0
    assert json.loads(done.stdout)["session"]["state"] == "NEVER_STARTED"
    assert trader("status", cwd=tmp_path).stdout.splitlines()[1:] == ["session   NEVER_STARTED: no session has run in this directory"]


def make_state(path: Path) -> Path:
    path.mkdir()
    (path / "ledger.sqlite").write_bytes(b"x" * 2_000_000)
    (path / "world.json").write_text("{}\n")
    (path / "history").mkdir()
    (path / "history" / "part.parquet").write_bytes(b"y" * 100_000)
    return path


def test_reset_names_what_it_would_delete_and_deletes_nothing_without_yes(tmp_path: Path) -> None:
    state = make_state(tmp_path / "state")
    done = trader("reset", cwd=tmp_path)
    assert done.returncode == 3
    assert done.stdout.splitlines() == [
        "would delete state/history (0.1 MB)", "would delete state/ledger.sqlite (2.0 MB)", "would delete state/world.json (0.0 MB)",
    ]  # fmt: skip
    assert "--yes" in done.stderr
    assert (state / "history" / "part.parquet").exists()


def test_reset_with_yes_names_and_deletes(tmp_path: Path) -> None:
    state = make_state(tmp_path / "elsewhere")
    done = trader("reset", "--state", str(state), "--yes", cwd=tmp_path)
    assert done.returncode == 0
    assert len([line for line in done.stdout.splitlines() if line.startswith("deleting ")]) == 3
    assert not state.exists()
    again = trader("reset", "--state", str(state), "--yes", cwd=tmp_path)
    assert (again.returncode, again.stdout.strip()) == (0, f"{state}: nothing to delete")


@pytest.mark.parametrize("names", [("notes.txt",), ("logs", "history"), ("ledger.sqlite", "thesis.tex"), (".git", "ledger.sqlite")])
def test_reset_refuses_a_directory_that_is_not_a_state_directory(names: tuple[str, ...], tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for name in names:
        (foreign / name).write_text("precious")
    done = trader("reset", "--state", str(foreign), "--yes", cwd=tmp_path)
    assert done.returncode == 1
    assert "nothing was deleted" in done.stderr
    assert sorted(path.name for path in foreign.iterdir()) == sorted(names)


@pytest.mark.parametrize("lock", ["supervisor.lock", "trader.lock"])
def test_reset_refuses_while_somebody_lives_there(lock: str, tmp_path: Path) -> None:
    state = make_state(tmp_path / "state")
    with (state / lock).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = trader("reset", "--yes", cwd=tmp_path)
    assert done.returncode == 5
    assert "stop it first" in done.stderr
    assert (state / "ledger.sqlite").exists()


def test_a_demo_refuses_a_directory_in_which_one_has_lived(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "ledger.sqlite").write_bytes(b"")
    done = trader("demo", "--state", "s", cwd=tmp_path)
    assert done.returncode == 2
    assert "has lived there already" in done.stderr


def test_an_answer_that_a_full_disk_does_not_take_is_one_sentence() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "trader.cli", "--version"]
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (1, "trader: standard output: No space left on device\n")
