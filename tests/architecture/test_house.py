"""House rules: size, docstrings, declared and lazy imports, no trace of a machine, a lock with hashes."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.trees import PACKAGES, ROOT, imports, sources

MOST_LINES = 400
CANARIES = tuple(
    a + b
    for a, b in (
        ("/wo", "rk/"), (".lib", "rary"), ("pypi", ".org"), ("files.python", "hosted"), ("--index", "-url"), ("--extra-index", "-url"),
        ("artifact", "ory"), ("BEGIN ", "PRIVATE KEY"), ("xox", "b-1"), ("AIza", "Sy"),
    )
)  # fmt: skip
"""Never in a file of the project: paths of a machine, package hosts, beginnings of secrets. In halves, so that this file passes."""
DISTRIBUTIONS = {"google": "google-genai", "talib": "ta-lib", "vl_convert": "vl-convert-python", "yaml": "pyyaml", "starlette": "fastapi",
                 "markupsafe": "jinja2", "certifi": "ccxt"}  # fmt: skip
"""Import name -> distribution, where they differ or where one comes as part of another."""


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in sources(*PACKAGES)}
    assert len(lengths) > 100
    assert [f"{path.relative_to(ROOT)}: {lines} lines" for path, lines in lengths.items() if lines > MOST_LINES] == []


# --- docstrings --------------------------------------------------------------------------------------------------------
def undocumented(path: Path, name: str) -> Iterator[str]:
    """Public modules, classes and functions without a docstring.

    Needs none: a method (its class says what it is for), a value that only lists fields, a protocol or enum, which only names
    things, and a function of less than eight lines, whose name and types say it all.
    """
    tree = ast.parse(path.read_text())
    if not ast.get_docstring(tree):
        yield name
    for node in tree.body:
        public = isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and not node.name.startswith("_")
        if public and not ast.get_docstring(node) and not _plain(node):
            yield f"{name}:{node.lineno} {node.name}"


def _plain(node: ast.stmt) -> bool:
    if isinstance(node, ast.ClassDef):
        names = [ast.unparse(base).split("[")[0] for base in node.bases]
        fields = all(
            isinstance(one, ast.AnnAssign) or (isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == "model_config")
            for one in node.body
        )
        return fields or any(name.endswith(("Enum", "Protocol")) for name in names)
    return (node.end_lineno or 0) - node.lineno < 8


def test_every_public_module_class_and_function_has_a_docstring() -> None:
    files = sources(*PACKAGES)
    assert len(files) > 100
    missing = [one for path in files for one in undocumented(path, str(path.relative_to(ROOT)))]
    assert missing == []


def test_a_missing_docstring_would_be_found(tmp_path: Path) -> None:
    file = tmp_path / "bare.py"
    long = "".join(f"    x = {n}\n" for n in range(8))
    file.write_text(
        f"class Bare:\n    x = 1\n\n\ndef bare() -> None:\n{long}\n\ndef _own() -> None:\n{long}\n\ndef short() -> None:\n    return\n"
    )
    assert list(undocumented(file, "bare.py")) == ["bare.py", "bare.py:1 Bare", "bare.py:5 bare"]


# --- imports -----------------------------------------------------------------------------------------------------------
def test_every_third_party_import_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[<>=~! \[]", line)[0].lower().replace("_", "-") for line in project["dependencies"]}
    known = set(sys.stdlib_module_names) | set(PACKAGES)
    used: dict[str, str] = {}
    for path in sources(*PACKAGES):
        for name, line in imports(ast.parse(path.read_text())):
            if name not in known:
                used.setdefault(DISTRIBUTIONS.get(name, name.lower().replace("_", "-")), f"{path.relative_to(ROOT)}:{line}")
    assert len(used) > 12
    assert {name: where for name, where in used.items() if name not in declared} == {}


def test_heavy_packages_are_not_loaded_by_flows_command_line_and_page() -> None:
    """Great Expectations belongs to a process of its own, TA-Lib and numba to the session: none of them at import."""
    flows = [f"flows.{path.stem}" for path in sources("flows") if path.stem != "__init__"]
    assert len(flows) >= 3
    for modules in (flows, ["trader.cli", "trader.web.app"]):
        code = f"import sys, {', '.join(modules)}; print([n for n in ('great_expectations', 'talib', 'numba') if n in sys.modules])"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
        assert done.stdout.strip().endswith("[]"), f"{modules}: {done.stdout}"


def test_indicators_and_kernel_come_without_pandas_and_leave_polars_to_others() -> None:
    code = "import sys, trader.research.backtester as b, talib, polars; print('pandas' in sys.modules, polars.Series([1]).sum(), talib.SMA)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("False 1 <cyfunction SMA")


def test_the_command_line_starts_light() -> None:
    code = "import sys, trader.cli; print([n for n in ('numpy', 'polars', 'prefect', 'ccxt', 'fastapi', 'sqlalchemy') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


# --- what must not be in the repository --------------------------------------------------------------------------------
def project_files() -> list[Path]:
    """What is or would be committed: tracked files and new ones that are not ignored; below the folders where git is absent."""
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=False
    )
    if done.returncode != 0:
        folders = (*PACKAGES, "docs", "tests", "benchmarks", ".ci")
        return [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return [path for name in done.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def canaries_in(data: bytes) -> list[str]:
    """Which of the words above this content holds."""
    return [word for word in CANARIES if word.encode() in data]


def test_no_file_names_a_machine_a_package_host_or_a_secret() -> None:
    files = project_files()
    assert len(files) > 200
    found = {str(path.relative_to(ROOT)): words for path in files if (words := canaries_in(path.read_bytes()))}
    assert found == {}


def test_a_planted_canary_would_be_found() -> None:
    assert all(canaries_in(f"seen {word} here".encode()) == [word] for word in CANARIES)


# --- the lock ----------------------------------------------------------------------------------------------------------
def test_every_locked_package_is_exact_and_hashed() -> None:
    text = (ROOT / "requirements.lock").read_text()
    entries = re.split(r"\n(?=[A-Za-z0-9])", text.strip())
    assert len(entries) > 100
    for entry in entries:
        head = entry.split("\n")[0]
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z0-9,._-]+\])?==[^\s;\\]+", head), head
        assert "--hash=sha256:" in entry, head
    assert re.search(r"^\s*(-i|--index|--extra|--find|--trusted|-f)\b", text, re.M) is None


def test_every_declared_dependency_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = {
        name.lower().replace("_", "-")
        for name in re.findall(r"^([A-Za-z0-9._-]+)(?:\[.*\])?==", (ROOT / "requirements.lock").read_text(), re.M)
    }
    declared = {re.split(r"[<>=~! \[]", line)[0].lower() for line in project["dependencies"] + project["optional-dependencies"]["dev"]}
    assert len(declared) > 20
    assert declared - locked == set()


def test_no_two_test_files_have_the_same_name() -> None:
    """pytest imports them by their bare name: the second one of a name is an error of the whole run."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) > 100
    assert sorted({name for name in names if names.count(name) > 1}) == []
