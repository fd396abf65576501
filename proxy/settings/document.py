"""The YAML file, with the place of every key and value.

Scalars are read as YAML 1.2 does (its core schema): `off` and `no` are words; `010`, `1:30`, dates are
text. YAML 1.1, the usual reading in Python, would make `mode: off` false and `12:30` a number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from proxy.settings.layers import Layer, Path, Place, Problem

_TAG: Final = "tag:yaml.org,2002:"
_MERGE: Final = f"{_TAG}merge"
_INT: Final = re.compile(r"[-+]?[0-9]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: Final[dict[str, object]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_ADVICE: Final = (
    ("'\\t'", "indent with spaces, not with tabs"),
    ("expected ',' or ']'", "inside [ ] put a path with {parameters} in quotes, and close the bracket"),
    ("expected ',' or '}'", "inside { } put a path with {parameters} in quotes, and close the brace"),
    ("mapping values are not allowed", "write one key: value in a line, and put a value with ': ' in quotes"),
    ("could not find expected ':'", "write key: value, with a space after the colon"),
    ("expected <block end>", "give all keys of one level the same indentation"),
    ("cannot start any token", "put the value in quotes"),
    ("found undefined alias", "define the anchor (&name) above its use, or put the value in quotes"),
    ("another document", "write one document: remove the line --- and what follows it"),
)


def read(path: FilePath, origin: Place) -> tuple[Layer, list[Problem]]:
    """Reads the file.

    Args:
        path: the file, as the operator named it.
        origin: who named it, for the errors of a file that cannot be read.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except OSError as error:
        return Layer(), [Problem(origin, (), *_unreadable(path, error))]
    except UnicodeDecodeError as error:
        return Layer(), [
            Problem(_whole(path), (), f"is not UTF-8 text (byte {error.start})", "save it as UTF-8")
        ]
    except yaml.YAMLError as error:
        return Layer(), [_syntax(path, error)]
    return _Reader(path).read(node)


@dataclass(slots=True)
class _Reader:
    path: FilePath
    layer: Layer = field(default_factory=Layer)
    problems: list[Problem] = field(default_factory=list)
    around: list[Node] = field(default_factory=list)

    def read(self, node: Node | None) -> tuple[Layer, list[Problem]]:
        self.layer.values_at[()] = _whole(self.path)
        value = self.value(node, ()) if node is not None else None
        if isinstance(value, dict):
            self.layer.values = value
        elif value is not None and node is not None:
            self.complain(node, (), "the file does not hold settings", "write one key: value in a line")
        return self.layer, self.problems

    def value(self, node: Node, path: Path) -> Any:
        self.layer.values_at[path] = self.place(node, path)
        if any(node is outer for outer in self.around):
            return self.complain(node, path, "holds itself", "remove the alias")
        self.around.append(node)
        try:
            return self.inner(node, path)
        finally:
            self.around.pop()

    def inner(self, node: Node, path: Path) -> Any:
        if isinstance(node, MappingNode):
            return self.mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*path, at)) for at, item in enumerate(node.value)]
        if not node.tag.startswith(_TAG):
            return self.complain(node, path, f"has the tag {node.tag}", "write the value without a tag")
        return _scalar(node)

    def mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        own: dict[str, int] = {}
        for key_node, value_node in _merged_first(node):
            if key_node.tag == _MERGE:
                found.update(self.merge(value_node, path))
                continue
            key = str(key_node.value)
            self.layer.keys_at[(*path, key)] = self.place(key_node, (*path, key))
            if not isinstance(key_node, ScalarNode):
                self.complain(key_node, path, "has a key that is no word", "write key: value")
            elif key in own:
                first = f"is given twice, first in line {own[key]}"
                self.complain(key_node, (*path, key), first, "keep one of the two")
            else:
                own[key] = key_node.start_mark.line + 1
                found[key] = self.value(value_node, (*path, key))
        return found

    def merge(self, node: Node, path: Path) -> dict[str, Any]:
        """`<<: *anchor`, or a list of them, of which the first wins."""
        sources = node.value if isinstance(node, SequenceNode) else [node]
        found: dict[str, Any] = {}
        for source in reversed(sources):
            value = self.value(source, path)
            if isinstance(value, dict):
                found.update(value)
            else:
                self.complain(source, path, "<< does not name a mapping", "write <<: *anchor of a mapping")
        return found

    def complain(self, node: Node, path: Path, what: str, instead: str) -> None:
        self.problems.append(Problem(self.place(node, path), path, what, instead))

    def place(self, node: Node, path: Path) -> Place:
        return _mark(self.path, node.start_mark, path)


def _merged_first(node: MappingNode) -> Iterator[tuple[Node, Node]]:
    """Merged mappings come first, so that the mapping's own keys overwrite theirs."""
    yield from (pair for pair in node.value if pair[0].tag == _MERGE)
    yield from (pair for pair in node.value if pair[0].tag != _MERGE)


def _scalar(node: Node) -> object:
    text: str = node.value
    if not isinstance(node, ScalarNode) or node.style is not None or node.tag == f"{_TAG}str":
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text) and not re.match(r"[-+]?0[0-9]", text):
        return int(text) if len(text) < 20 else text
    return float(text) if _FLOAT.fullmatch(text) and "." in text else text


def _mark(path: FilePath, mark: Any, setting: Path) -> Place:
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    return Place(f"{path}:{line}:{column}", setting, in_file=True, order=(line, column))


def _whole(path: FilePath) -> Place:
    return Place(f"{path}:1:1", (), in_file=True, order=(1, 1))


def _unreadable(path: FilePath, error: OSError) -> tuple[str, str]:
    if isinstance(error, FileNotFoundError):
        return f"no such file: {path}", "write the path of an existing file, or leave it out"
    if isinstance(error, IsADirectoryError):
        return f"{path} is a directory", f"write the path of the file, such as {path / 'proxy.yaml'}"
    return (
        f"{path} cannot be read: {error.strerror or error}",
        "make it readable for the user who runs the proxy",
    )


def _syntax(path: FilePath, error: yaml.YAMLError) -> Problem:
    if isinstance(error, yaml.MarkedYAMLError):
        what = error.problem or error.context or "it cannot be read"
        what = f"{error.context}, {what}" if what.startswith("but ") else what
        place = _mark(path, error.problem_mark or error.context_mark, ())
    else:
        what, place = str(error).splitlines()[0], _whole(path)
    advice = next(
        (advice for sign, advice in _ADVICE if sign in what), "correct the line, or the one before it"
    )
    return Problem(place, (), f"not valid YAML: {what}", advice)
