"""What the code base can say, read from its syntax: sentences, codes of findings, outcomes, names of checks.

Nothing here is a list kept by hand: a sentence or code somebody adds is found the next time the tests run.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

HOUSE = Path(__file__).parents[2] / "src/leadglass"


def parsed(*patterns: str) -> Iterator[tuple[Path, ast.Module]]:
    """Parse the modules of the house that match."""
    for pattern in patterns:
        found = sorted(HOUSE.glob(pattern))
        assert found, pattern
        for path in found:
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def skeleton(node: ast.expr) -> str | None:
    """Give a text with its blanks as {}, None for what is no text."""
    match node:
        case ast.Constant(value=str(text)):
            return text.replace("{", "{{").replace("}", "}}") if "{" in text else text
        case ast.JoinedStr(values=values):
            return "".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            parts = skeleton(left), skeleton(right)
            return None if None in parts else f"{parts[0]}{parts[1]}"
    return None


def texts(module: ast.Module) -> Iterator[str]:
    """Give every text of a module but docstrings, annotations and what stands inside another text."""
    inside: set[int] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            inside.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            inside.update(id(part) for part in node.values if isinstance(part, ast.Constant))
            for part in node.values:
                if isinstance(part, ast.FormattedValue) and part.format_spec is not None:
                    inside.update(id(inner) for inner in ast.walk(part.format_spec))
    for node in ast.walk(module):
        if isinstance(node, ast.expr) and id(node) not in inside and (text := skeleton(node)) is not None:
            yield text


def sentences(*patterns: str) -> set[str]:
    """Give the texts that read as sentences, but those that only a person at the keyboard is told (exit code 2)."""
    found = set()
    for _, module in parsed(*patterns):
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and _name(node.func) in ("ConfigurationError", "UsageError"):
                node.args, node.keywords = [], []
        found |= {text for text in texts(module) if _is_sentence(text)}
    return found


def _is_sentence(text: str) -> bool:
    """Tell a sentence: a capital, a blank or a back-quote first, a full stop or a blank last, some words between."""
    return bool(re.fullmatch(r"[A-Z{`].* .*[.}]", text, re.DOTALL)) and len(re.findall(r"\b[a-z]{2,}\b", text)) > 1


def finding_codes() -> set[str]:
    """Give every code a finding can have: written out, or a prefix and the numbers given to who makes it."""
    codes: set[str] = set()
    for _, module in parsed("**/*.py"):
        every = [n for n in ast.walk(module) if isinstance(n, ast.Constant)]
        codes |= {n.value for n in every if isinstance(n.value, str) and re.fullmatch(r"LG-[A-Z]{3}-\d{3}", n.value)}
        for node in ast.walk(module):
            if isinstance(node, ast.FunctionDef):
                for prefix in _prefixes(node):
                    codes |= {f"{prefix}{number}" for number in _numbers(module, node)}
    return codes


def _prefixes(function: ast.FunctionDef) -> Iterator[str]:
    """Give the beginnings of codes a function makes from a value."""
    nested = {id(n) for inner in ast.walk(function) if isinstance(inner, ast.FunctionDef) and inner is not function
              for n in ast.walk(inner)}  # fmt: skip
    for node in ast.walk(function):
        if isinstance(node, ast.JoinedStr) and id(node) not in nested:
            head = skeleton(node) or ""
            if match := re.fullmatch(r"(LG-[A-Z]{3}-)\{\}", head):
                yield match.group(1)


def _numbers(module: ast.Module, maker: ast.FunctionDef) -> Iterator[str]:
    """Give the numbers a maker of codes is called with, or that stand in a table of its module."""
    calls = [n for n in ast.walk(module) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == maker.name]
    values = [c.args[0].value for c in calls if c.args and isinstance(c.args[0], ast.Constant)]
    numbers = [value for value in values if isinstance(value, int)]
    if numbers:
        yield from (f"{number:03}" for number in numbers)
    else:
        yield from (text for text in texts(module) if re.fullmatch(r"\d{3}", text))


def first_arguments(pattern: str, called: str) -> set[str]:
    """Give every text passed first to what is called so."""
    return {
        text
        for _, module in parsed(pattern)
        for node in ast.walk(module)
        if isinstance(node, ast.Call) and _name(node.func) == called and node.args
        if (text := skeleton(node.args[0])) is not None
    }


def arguments(name: str) -> set[str]:
    """Give every text the house passes for a parameter of this name, through any function that has one."""
    places: dict[str, set[int]] = {}
    modules = [module for _, module in parsed("**/*.py")]
    for module in modules:
        for node in ast.walk(module):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names = [a.arg for a in node.args.args]
                if name in names:
                    at = names.index(name) - (names[0] in ("self", "cls"))
                    places.setdefault(node.name, set()).add(at)
            if isinstance(node, ast.ClassDef):
                fields = [
                    n.target.id for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
                ]
                if name in fields:
                    places.setdefault(node.name, set()).add(fields.index(name))
    found: set[str] = set()
    for module in modules:
        for node in ast.walk(module):
            if isinstance(node, ast.Call):
                found |= _passed(node, name, places)
    return found


def _passed(call: ast.Call, name: str, places: dict[str, set[int]]) -> set[str]:
    called, given = _name(call.func), [k.value for k in call.keywords if k.arg == name]
    args = call.args
    if called == "run_in_threadpool" and args:
        called, args = _name(args[0]), args[1:]
    given += [args[at] for at in places.get(called, ()) if at < len(args)]
    return {
        text
        for value in given
        for chosen in (ast.walk(value) if isinstance(value, ast.IfExp) else [value])
        if isinstance(chosen, ast.expr) and (text := skeleton(chosen))
    }


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
