"""The words a newcomer reads are true: links lead somewhere, commands exist and run, tables equal the code."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cli_kit import trader

from tests.architecture import settings_table
from tests.architecture.trees import ROOT
from trader import cli
from trader.bootstrap.children import PORTS
from trader.config import NOT_SETTINGS, Settings

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(r"^[ ]*```(\w*)( run)?\n(.*?)^[ ]*```", re.M | re.S)
LINK = re.compile(r"!?\[([^\]]*)\]\(([^)\s]+)\)")


def blocks(page: Path) -> Iterator[tuple[str, bool, str]]:
    """(language, whether it is run here, text) of the fenced blocks."""
    for language, run, text in FENCE.findall(page.read_text()):
        yield language, bool(run), text


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def anchors(page: Path) -> list[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings]


# --- links -------------------------------------------------------------------------------------------------------------
def broken_links(page: Path, text: str) -> list[str]:
    found = []
    for _words, target in LINK.findall(text):
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists():
            found.append(target)
        elif anchor and anchor not in anchors(file):
            found.append(f"{target}: no such heading")
    return found


def test_every_link_leads_to_a_file_and_a_heading() -> None:
    assert len(PAGES) >= 25
    assert sum(len(LINK.findall(prose(page))) for page in PAGES) > 100
    assert {str(page.relative_to(ROOT)): found for page in PAGES if (found := broken_links(page, prose(page)))} == {}


def test_a_broken_link_would_be_found() -> None:
    page = DOCS / "README.md"
    assert broken_links(page, "[a](no-such.md) [b](architecture.md#no-such) [c](architecture.md#the-tree)") == [
        "no-such.md",
        "architecture.md#no-such: no such heading",
    ]


def test_pictures_have_words_for_those_who_do_not_see_them() -> None:
    pictures = [words for page in PAGES for words, _ in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", page.read_text())]
    assert len(pictures) >= 2
    assert all(len(words) > 40 for words in pictures)


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text()
    pages = [str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md") if page != DOCS / "README.md"]
    assert len(pages) > 20
    assert [page for page in pages if f"]({page})" not in index] == []


# --- commands ----------------------------------------------------------------------------------------------------------
def _help(*words: str) -> str:
    done = trader(*words, "--help", cwd=ROOT, COLUMNS="200")
    assert done.returncode == 0, words
    return done.stdout


def verbs(*group: str) -> list[str]:
    """What the help of `trader`, or of a group of its verbs, lists."""
    return re.findall(r"^  ([a-z]+) ", _help(*group).split("Commands:")[1], re.M)


def named_verbs(page: Path) -> list[str]:
    """Verbs in `trader VERB`, in code spans and in shell blocks."""
    text = "\n".join([*re.findall(r"`([^`\n]+)`", prose(page)), *(text for language, _, text in blocks(page) if language == "sh")])
    return re.findall(r"(?:^|[/\s])trader ([a-z][a-z-]*)\b(?!/)", text, re.M)


def test_every_command_the_pages_name_exists() -> None:
    known = verbs()
    assert len(known) >= 12
    named = {str(page.relative_to(ROOT)): named_verbs(page) for page in PAGES}
    assert sum(len(found) for found in named.values()) > 40
    assert {page: unknown for page, found in named.items() if (unknown := [verb for verb in found if verb not in known])} == {}


def _rows(page: Path, heading: str) -> dict[str, str]:
    """First code word -> whole row, of the table below a heading."""
    part = page.read_text().split(heading)[1].split("\n#")[0]
    return {match[1]: match[0] for match in re.finditer(r"^\| `([a-z_A-Z. ]+)`.*$", part, re.M)}


def test_the_command_reference_lists_every_verb_with_its_options() -> None:
    table = _rows(DOCS / "reference/cli.md", "## Verbs")
    groups = ("ai", "data", "db")  # `night` is a group, and a verb itself
    nested = [f"{group} {verb}" for group in (*groups, "night") for verb in verbs(group)]
    assert list(table) == [verb for verb in verbs() if verb not in groups] + nested and len(nested) == 14
    for verb, row in table.items():
        real = set(re.findall(r"^  (--[a-z-]+)", _help(*verb.split()), re.M)) - {"--help"}
        told = set(re.findall(r"`(--[a-z-]+)`", row)) - ({"--yes"} if "--yes" not in real else set())
        assert told == real, verb


def test_the_codes_of_the_reference_are_those_of_the_program() -> None:
    told = re.findall(r"^\| (\d+) \|", (DOCS / "reference/cli.md").read_text().split("## Exit codes")[1], re.M)
    assert told == re.findall(
        r"\b(\d+) (?=done|failed|usage|refused|dependency|already|interrupted)", (cli.__doc__ or "").split("codes:")[1]
    )


def test_make_verbs_named_in_the_pages_exist() -> None:
    made = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    named = [verb for page in PAGES for verb in re.findall(r"`make ([a-z-]+)`", page.read_text())]
    assert len(named) > 5
    assert [verb for verb in named if verb not in made] == []


# --- tables ------------------------------------------------------------------------------------------------------------
def test_the_settings_reference_equals_the_model() -> None:
    assert (DOCS / "reference/settings.md").read_text() == settings_table.page(), "python -m tests.architecture.settings_table"


def test_every_setting_a_page_names_exists() -> None:
    known = [key for key, _ in settings_table.leaves(Settings)]
    named: list[tuple[str, str]] = []
    for page in PAGES:
        text = page.read_text()
        variables = re.findall(r"TRADER_([A-Z0-9_]+[A-Z0-9])(?:=|`)", text)
        named += [(page.name, name.lower().replace("__", ".")) for name in variables]
        named += [(page.name, f"{a}.{b}") for a, b in re.findall(r"`(market|halts|ai|ports|costs|exits|beat)\.([a-z_]+)`", text)]
    assert len(named) > 10
    others = [name.removeprefix("TRADER_").lower() for name in NOT_SETTINGS]
    assert [one for one in named if one[1] not in (*known, *others, "ai.sqlite")] == []


def test_the_ports_the_readme_names_are_the_defaults() -> None:
    readme = (ROOT / "README.md").read_text()
    ports = Settings().ports
    assert len(PORTS) == 4
    for name in PORTS:
        assert f":{getattr(ports, name)}" in readme, name


# --- what is run -------------------------------------------------------------------------------------------------------
RUN = [page for page in PAGES if any(run for _, run, _ in blocks(page))]


def run_blocks(page: Path, directory: Path) -> str:
    """Run the marked blocks of a page one after the other, as a reader would; their output."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("TRADER_", "PREFECT_"))}
    environ |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}", "NO_COLOR": "1"}
    said = ""
    for _language, run, text in blocks(page):
        if run:
            done = subprocess.run(
                ["bash", "-eu", "-c", text], cwd=directory, env=environ, capture_output=True, text=True, timeout=200, check=False
            )
            assert done.returncode == 0, f"{page.name}:\n{text}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}"
            said += done.stdout
    return said


@pytest.fixture(scope="module")
def read_and_done(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Page -> the directory its commands were run in."""
    done = {}
    for page in RUN:
        directory = tmp_path_factory.mktemp(page.stem)
        run_blocks(page, directory)
        done[page.name] = directory
    return done


@pytest.mark.slow
def test_the_commands_of_the_pages_run(read_and_done: dict[str, Path]) -> None:
    assert {"cli.md", "inject-faults.md", "verify-a-state.md"} <= set(read_and_done)
    assert json.loads((read_and_done["verify-a-state.md"] / "verdict.json").read_text())["ok"] is True


@pytest.mark.slow
def test_verify_of_a_ledger_that_was_changed_exits_with_1(read_and_done: dict[str, Path], tmp_path: Path) -> None:
    """The exit code a script relies on: 0 while all agrees (the page's own commands), 1 once the ledger says something else."""
    shutil.copytree(read_and_done["verify-a-state.md"] / "checked", tmp_path / "changed")
    with closing(sqlite3.connect(tmp_path / "changed" / "ledger.sqlite")) as ledger, ledger:
        assert ledger.execute("UPDATE cash SET quantity = '9999' WHERE asset = 'EUR'").rowcount == 1
    done = trader("verify", "--state", "changed", "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert json.loads(done.stdout)["ok"] is False


@pytest.mark.slow
def test_the_reference_explains_every_key_of_the_demos_json(read_and_done: dict[str, Path]) -> None:
    outcome = json.loads((read_and_done["verify-a-state.md"] / "outcome.json").read_text())
    page = (DOCS / "reference/demo-json.md").read_text()
    told = [key for line in re.findall(r"^\| (`.+?`) \|", page, re.M) for key in re.findall(r"`([a-z_]+)`", line)]
    assert sorted(told) == sorted(outcome)
    assert len(told) > 25


@pytest.mark.slow
def test_the_reference_explains_every_invariant(read_and_done: dict[str, Path]) -> None:
    outcome = json.loads((read_and_done["verify-a-state.md"] / "outcome.json").read_text())
    told = list(_rows(DOCS / "reference/invariants.md", "# Invariants"))
    assert sorted(told) == sorted(outcome["invariants"])


@pytest.mark.slow
def test_the_injected_faults_break_no_invariant(read_and_done: dict[str, Path]) -> None:
    outcome = json.loads((read_and_done["inject-faults.md"] / "outcome.json").read_text())
    assert len(outcome["invariants"]) >= 8
    assert all(outcome["invariants"].values())
