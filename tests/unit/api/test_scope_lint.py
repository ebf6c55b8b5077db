"""Nobody reads a table without saying for whom: the source itself is checked.

A query built elsewhere, or a repository method that forgot its scope, is how tenants' rows get mixed up. The engine
would still refuse or filter; this test finds it before.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

API = Path(__file__).resolve().parents[3] / "api"
MAY_HOLD_SQL = ("repositories", "sqlguard")
_SQL = re.compile(
    r"^\s*(select\s.+\sfrom\s|with\s.+\sas\s*\(|insert\s+into\s|delete\s+from\s|alter\s+table\s)", re.I | re.S
)
_SCOPES = {"Scope", "AnyScope"}


def _modules(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if path.name != "__init__.py")


def _methods(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name.endswith("Repository"):
            for item in node.body:
                if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and not item.name.startswith("_"):
                    yield node.name, item


def _texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every string that is not documentation (docstrings, and examples and descriptions of fields)."""
    documented = {
        id(inner)
        for node in ast.walk(tree)
        for part in [*_docstring(node), *_keywords(node)]
        for inner in ast.walk(part)
    }
    for node in ast.walk(tree):
        if id(node) in documented:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        elif isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "x" for part in node.values]
            yield node.lineno, "".join(str(part) for part in parts)


def _docstring(node: ast.AST) -> list[ast.expr]:
    return [node.value] if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) else []


def _keywords(node: ast.AST) -> list[ast.expr]:
    if not isinstance(node, ast.Call):
        return []
    return [keyword.value for keyword in node.keywords if keyword.arg in {"description", "examples", "help"}]


def missing_scopes(source: str) -> list[str]:
    """Names of repository methods whose first parameter is not a scope."""
    found = []
    for owner, method in _methods(ast.parse(source)):
        parameters = method.args.posonlyargs + method.args.args
        first = parameters[1] if len(parameters) > 1 else None
        annotation = ast.unparse(first.annotation) if first is not None and first.annotation is not None else ""
        if first is None or first.arg != "scope" or annotation not in _SCOPES:
            found.append(f"{owner}.{method.name}")
    return found


def stray_sql(source: str) -> list[str]:
    """SQL texts of a module."""
    return [f"line {line}: {text[:40]}" for line, text in _texts(ast.parse(source)) if _SQL.search(text)]


@pytest.mark.parametrize("path", _modules(API / "repositories"), ids=lambda path: path.name)
def test_every_repository_method_takes_a_scope_first(path: Path) -> None:
    assert missing_scopes(path.read_text()) == []


@pytest.mark.parametrize(
    "path",
    [path for path in _modules(API) if path.relative_to(API).parts[0] not in MAY_HOLD_SQL],
    ids=lambda path: str(path.relative_to(API)),
)
def test_sql_is_only_in_repositories_and_guard(path: Path) -> None:
    assert stray_sql(path.read_text()) == []


def test_the_checks_bite() -> None:
    forgetful = "class TracesRepository:\n    async def find(self, trace_id: str, scope: Scope) -> None: ..."
    untyped = "class TracesRepository:\n    def find(self, scope) -> None: ..."
    assert missing_scopes(forgetful) == ["TracesRepository.find"]
    assert missing_scopes(untyped) == ["TracesRepository.find"]
    assert stray_sql("engine.read(f'SELECT {columns} FROM spans')") != []
    assert stray_sql("x = 'SELECT a ' 'FROM b'") != []
    assert stray_sql("run('select a, b from spans')") != []
    assert stray_sql('def f():\n    """SELECT a FROM b."""') == []


def test_repositories_were_found() -> None:
    classes = {owner for path in _modules(API / "repositories") for owner, _ in _methods(ast.parse(path.read_text()))}
    assert classes >= {"TracesRepository", "SpansRepository", "CardsRepository", "AlertsRepository", "SqlRepository"}
