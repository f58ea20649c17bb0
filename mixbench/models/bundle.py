"""One file out of several: a module of this package with all that it takes from its other modules.

Definitions are copied as text, comments too, so that the file computes with the very lines of the package.
What is understood is what the package is written in: `from mixbench.x import name` at the top of a module.
"""

import ast
import re
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

PACKAGE = "mixbench"
NOT_ALONE = rf"\b{PACKAGE}\b|from \."
"""Found in an import of the package, relative ones too."""


class _Import(NamedTuple):
    """What one name of a module is imported as: `from module import name`, or `import module` without one."""

    module: str
    name: str
    local: str

    @property
    def ours(self) -> bool:
        return self.module.split(".")[0] == PACKAGE


class _Module:
    """The source of a module: its lines, and where each name at its top level comes from."""

    def __init__(self, name: str) -> None:
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            raise ValueError(f"{name}: no such module")
        text = Path(spec.origin).read_text(encoding="utf-8")
        self.name, self.lines, self.tree = name, text.splitlines(), ast.parse(text)
        self.imports: dict[str, _Import] = {}
        self.defined: dict[str, ast.stmt] = {}
        self.end_of_imports = 0
        for node in self.tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                self.end_of_imports = node.end_lineno or 0
                for alias in node.names:
                    found = _imported(node, alias)
                    self.imports[found.local] = found
            for local in _defines(node):
                self.defined[local] = node

    def text(self, node: ast.stmt) -> str:
        """Return the lines of a definition, its decorators and the comments right above it."""
        decorators = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(decorator.lineno for decorator in decorators)]) - 1
        while first and self.lines[first - 1].startswith("#"):
            first -= 1
        return "\n".join(self.lines[first : node.end_lineno])


class _Bundle:
    """What has been taken: definitions in the order in which they can be run, and imports from elsewhere."""

    def __init__(self, main: _Module) -> None:
        self.modules = {main.name: main}
        self.origins = dict.fromkeys(main.defined, main.name)
        self.pieces: list[str] = []
        self.plain: set[str] = set()
        self.chosen: dict[str, set[str]] = {}

    def take(self, wanted: _Import) -> None:
        if wanted.ours:
            if wanted.name != wanted.local:
                raise ValueError(f"{wanted.module}: {wanted.name!r} cannot be bundled as {wanted.local!r}")
            self.define(wanted.module, wanted.name)
        elif wanted.name:
            renamed = "" if wanted.name == wanted.local else f" as {wanted.local}"
            self.chosen.setdefault(wanted.module, set()).add(wanted.name + renamed)
        else:
            renamed = "" if wanted.module.split(".")[0] == wanted.local else f" as {wanted.local}"
            self.plain.add(f"import {wanted.module}{renamed}")

    def define(self, module: str, name: str) -> None:
        if name in self.origins:
            if self.origins[name] != module:
                raise ValueError(f"{name!r} is defined in {self.origins[name]} and in {module}")
            return
        if module not in self.modules:
            self.modules[module] = _Module(module)
        source = self.modules[module]
        if name not in source.defined:
            raise ValueError(f"{module}: defines no {name!r}")
        node = source.defined[name]
        self.origins |= dict.fromkeys(_defines(node), module)
        self.need(source, node)
        self.pieces.append(f"# From {module}\n{source.text(node)}")

    def need(self, source: _Module, node: ast.AST) -> None:
        """Take all that the code of `node` names and `source` imports or defines."""
        for name in sorted(part.id for part in ast.walk(node) if isinstance(part, ast.Name)):
            if name in source.imports:
                self.take(source.imports[name])
            elif name in source.defined:
                self.define(source.name, name)

    def imports(self) -> str:
        chosen = (f"from {module} import {', '.join(sorted(names))}" for module, names in self.chosen.items())
        return "\n".join([*sorted(self.plain), *sorted(chosen)])


def bundle(module: str) -> str:
    """Return the source of `module` without any import of this package: what it uses is copied in.

    Args:
        module: its dotted name; its imports stand before its code.

    Raises:
        ValueError: it holds an import or a name that cannot be copied in.
    """
    main = _Module(module)
    bundled = _Bundle(main)
    bundled.need(main, main.tree)
    docstring = main.text(main.tree.body[0])
    rest = "\n".join(main.lines[main.end_of_imports :]).strip("\n")
    text = "\n\n\n".join([f"{docstring}\n\n{bundled.imports()}", *bundled.pieces, rest]) + "\n"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom) and re.search(NOT_ALONE, ast.unparse(node)):
            raise ValueError(f"{module}: {ast.unparse(node)!r} is not at the top of its module")
    return text


def _imported(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> _Import:
    if isinstance(node, ast.Import):
        found = _Import(alias.name, "", alias.asname or alias.name.split(".")[0])
        if found.ours:
            raise ValueError(f"{ast.unparse(node)!r} cannot be bundled: import names from the module")
        return found
    if node.level or node.module is None:
        raise ValueError(f"{ast.unparse(node)!r} cannot be bundled: give the whole name of the module")
    return _Import(node.module, alias.name, alias.asname or alias.name)


def _defines(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else []
    if isinstance(node, ast.AnnAssign):
        targets = [node.target]
    return [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]
