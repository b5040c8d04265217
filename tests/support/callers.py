"""Names of a product that nothing in the product reaches, as its source says; nothing is imported.

A name at the top level of a module is reached when code that runs refers to it: the roots, and
statements at the top level that define nothing, run; and what a reached definition names is reached
in turn. A method is called when its name stands in the product's code outside functions of the same
name: a method that only passes a call on to its namesake calls nothing by itself. Types are not
looked at, so of two methods with one name one may be uncalled and not be found.
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

PLAIN_BASES = frozenset(
    {"ABC", "Enum", "Exception", "Generic", "IntEnum", "NamedTuple", "StrEnum", "Struct"}
)
"""Bases from outside the product that call no method of a class by its name."""


class Name(NamedTuple):
    """A name at the top level of a module."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}:{self.name}"


class Product:
    """The source of these packages below `root`."""

    def __init__(self, root: Path, packages: Collection[str]) -> None:
        self._files: dict[str, Path] = {}
        for package in packages:
            for file in sorted((root / package).rglob("*.py")):
                parts = file.relative_to(root).with_suffix("").parts
                self._files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
        self.modules = {
            module: ast.parse(file.read_text("utf-8")) for module, file in self._files.items()
        }
        self.definitions: dict[Name, list[ast.stmt]] = defaultdict(list)
        self._imports: dict[str, dict[str, list[tuple[str, str]]]] = {}
        self._running: list[tuple[str, ast.stmt]] = []
        for module, tree in self.modules.items():
            self._imports[module] = _imports(tree)
            for statement in tree.body:
                names = _defined(statement)
                for name in names:
                    self.definitions[Name(module, name)].append(statement)
                if not names and not isinstance(statement, ast.Import | ast.ImportFrom):
                    self._running.append((module, statement))

    def unreached(self, roots: Collection[Name]) -> set[Name]:
        """Public names that neither the roots nor what runs at the top level lead to."""
        ahead = list(roots)
        for module, statement in self._running:
            ahead.extend(self._named(module, statement))
        reached: set[Name] = set()
        while ahead:
            name = ahead.pop()
            if name not in reached:
                reached.add(name)
                for statement in self.definitions[name]:
                    ahead.extend(self._named(name.module, statement))
        return {name for name in self.definitions.keys() - reached if _is_public(name.name)}

    def uncalled_methods(self) -> set[str]:
        """Public methods, as `module:Class.method`, whose name stands only in its namesakes.

        Classes with a base from outside the product are left out: that base calls their methods.
        """
        words = Counter(word for tree in self.modules.values() for word in _words(tree))
        return {
            f"{module}:{owner.name}.{method.name}"
            for module, owner in self._classes()
            if self._is_plain(module, owner)
            for method in owner.body
            if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
            and _is_public(method.name)
            and not words[method.name]
        }

    def classes_by_name(self) -> dict[str, list[str]]:
        """The modules that define a class of each name, nested classes among them."""
        found: dict[str, list[str]] = defaultdict(list)
        for module, owner in self._classes():
            found[owner.name].append(module)
        return found

    def values_by_name(self) -> dict[str, dict[str, list[str]]]:
        """For each public constant at the top level its values, as written, and their modules."""
        found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for name, statements in self.definitions.items():
            for statement in statements:
                match statement:
                    case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
                        if _is_public(name.name):
                            found[name.name][ast.unparse(value)].append(name.module)
        return found

    def _classes(self) -> Iterator[tuple[str, ast.ClassDef]]:
        for module, tree in self.modules.items():
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    yield module, node

    def _is_plain(self, module: str, owner: ast.ClassDef) -> bool:
        """No base of it, and no base of a base, comes from outside the product."""
        for base in owner.bases:
            text = ast.unparse(base).partition("[")[0]
            found = self._find(module, text)
            if not found and text.rpartition(".")[2] not in PLAIN_BASES:
                return False
            for name in found:
                for parent in self.definitions[name]:
                    if isinstance(parent, ast.ClassDef) and not self._is_plain(name.module, parent):
                        return False
        return True

    def _named(self, module: str, node: ast.AST) -> Iterator[Name]:
        """The product's names in this piece of a module."""
        for each in ast.walk(node):
            if isinstance(each, ast.Name):
                yield from self._find(module, each.id)
            elif isinstance(each, ast.Attribute):
                yield from self._find(module, _dotted(each))

    def _find(self, module: str, text: str) -> set[Name]:
        """Where the name that a module writes so is defined; nowhere if not in the product."""
        found: set[Name] = set()
        ahead, seen = [(module, text)], set()
        while ahead:
            place = ahead.pop()
            if place in seen:
                continue
            seen.add(place)
            module, text = place
            owner, _, attribute = text.rpartition(".")
            if Name(module, text) in self.definitions:
                found.add(Name(module, text))
            elif owner:
                ahead.extend((other, attribute) for other in self._called(module, owner))
            else:
                ahead.extend(self._imports.get(module, {}).get(text, ()))
        return found

    def _called(self, module: str, text: str) -> Iterator[str]:
        """The product's modules that another one calls so."""
        imported = self._imports.get(module, {}).get(text)
        names = [text] if imported is None else [".".join(filter(None, each)) for each in imported]
        return (name for name in names if name in self.modules)


def _dotted(node: ast.expr) -> str:
    """`a.b.c` of names alone; empty for anything else."""
    if isinstance(node, ast.Attribute):
        owner = _dotted(node.value)
        return f"{owner}.{node.attr}" if owner else ""
    return node.id if isinstance(node, ast.Name) else ""


def _imports(tree: ast.Module) -> dict[str, list[tuple[str, str]]]:
    """Each imported name: the modules it comes from, and what it is called there."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for each in node.names:
                found[each.asname or each.name].append((node.module or "", each.name))
        elif isinstance(node, ast.Import):
            for each in node.names:
                if each.asname:
                    found[each.asname].append((each.name, ""))
    return dict(found)


def _defined(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [
                node.id
                for target in targets
                for node in ast.walk(target)
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            ]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
    return []


def _words(node: ast.AST, within: frozenset[str] = frozenset()) -> Iterator[str | None]:
    """The names and strings of this piece, outside functions of the same name."""
    word: str | None = None
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            within |= {name}
        case ast.Attribute(attr=word) | ast.Name(id=word) | ast.keyword(arg=word):
            pass
        case ast.Constant(value=str(word)):
            pass
    if word not in within:
        yield word
    for child in ast.iter_child_nodes(node):
        yield from _words(child, within)


def _is_public(name: str) -> bool:
    return not name.startswith("_")
