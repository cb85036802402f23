"""What the architecture tests share: the project's files and bans on syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("trader", "flows", "tasks")
DECIDING = ("trader/domain", "trader/indicators", "trader/strategy", "trader/execution")


def sources(*folders: str) -> list[Path]:
    """Python files below these folders of the project, sorted."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """(top-level package, line) of every absolute import, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0], node.lineno


_NOW = ("now", "utcnow", "today")
_TIME = ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep")
_UUIDS = ("uuid1", "uuid4")


def banned(source: str) -> list[str]:
    """`line: what` for each wall clock, chance or order of a set that this source uses."""
    tree = ast.parse(source)
    named = _aliases(tree)
    found: list[tuple[int, str]] = []
    sets = _set_names(tree)
    unordered = _order_free(tree)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Attribute, ast.Name)) and (what := _forbidden(_dotted(node, named))):
            found.append((node.lineno, what))
        loops = [node.iter] if isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension)) else []
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("list", "tuple", "enumerate", "iter", "next")
        ):
            loops += node.args[:1]
        found += [(one.lineno, "iteration over a set") for one in loops if _is_set(one, sets) and one not in unordered]
    return [f"{line}: {what}" for line, what in sorted(set(found))]


def _aliases(tree: ast.AST) -> dict[str, str]:
    """Local name -> what it stands for, of the imports."""
    named: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named |= {
                alias.asname or alias.name.split(".")[0]: alias.name if alias.asname else alias.name.split(".")[0] for alias in node.names
            }
        elif isinstance(node, ast.ImportFrom) and node.module:
            named |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return named


def _dotted(node: ast.expr, named: dict[str, str]) -> str:
    """`np.random.rand` as `numpy.random.rand`; empty where it is not a chain that begins with an import."""
    if isinstance(node, ast.Name):
        return named.get(node.id, "")
    if isinstance(node, ast.Attribute) and (head := _dotted(node.value, named)):
        return f"{head}.{node.attr}"
    return ""


def _forbidden(name: str) -> str:
    parts = name.split(".")
    if parts[0] == "datetime" and parts[-1] in _NOW:
        return f"wall clock {name}"
    if parts[0] == "time" and parts[-1] in _TIME and len(parts) == 2:
        return f"wall clock {name}"
    if parts[0] == "uuid" and parts[-1] in _UUIDS:
        return f"chance {name}"
    if parts[0] in ("random", "secrets") and len(parts) == 2:
        return f"chance {name}"
    if name in ("os.urandom", "os.getrandom"):
        return f"chance {name}"
    seeded = ("default_rng", "Generator", "Philox", "PCG64", "SeedSequence", "BitGenerator")
    if parts[:2] == ["numpy", "random"] and len(parts) == 3 and parts[2] not in seeded:
        return f"chance {name}"
    return ""


def _order_free(tree: ast.AST) -> list[ast.expr]:
    """What is looped over in a comprehension whose order cannot be seen: a set again, or the argument of `sorted` and the like."""
    blind = ("sorted", "any", "all", "set", "frozenset", "len")
    found: list[ast.expr] = []
    for node in ast.walk(tree):
        inside: list[ast.expr] = [node] if isinstance(node, ast.SetComp) else []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in blind:
            inside = node.args[:1]
        for one in inside:
            if isinstance(one, (ast.GeneratorExp, ast.ListComp, ast.SetComp)):
                found += [loop.iter for loop in one.generators]
    return found


def _set_names(tree: ast.AST) -> frozenset[str]:
    """Names bound to a set and to nothing else, as far as one file shows."""
    sets: list[str] = []
    other: list[str] = []
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)):
            continue
        bound = sets if node.value is not None and _is_set(node.value, frozenset()) else other
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        bound += [target.id for target in targets if isinstance(target, ast.Name)]
    return frozenset(sets) - frozenset(other)


def _is_set(node: ast.expr, sets: frozenset[str]) -> bool:
    if isinstance(node, (ast.Set, ast.SetComp)):
        return True
    if isinstance(node, ast.Name):
        return node.id in sets
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitOr, ast.BitAnd, ast.Sub, ast.BitXor)):
        return _is_set(node.left, sets) or _is_set(node.right, sets) or _keys(node.left) or _keys(node.right)
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("set", "frozenset")


def _keys(node: ast.expr) -> bool:
    """`d.keys()`: with an operator it makes a set."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "keys" and not node.args
