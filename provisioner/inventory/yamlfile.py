"""YAML as Ansible reads it (YAML 1.1), with the place of every key and item kept.

libyaml's parser (the C one) gives events; they are built into `Map`, `Seq` and plain
Python scalars here, because only so can depth and alias expansion be bounded *before*
they cost anything, and duplicate keys be told apart from merged ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml import events
from yaml.constructor import SafeConstructor
from yaml.cyaml import CParser  # type: ignore[attr-defined]  # the stubs do not know it
from yaml.resolver import Resolver

from provisioner.diagnostics import Diagnostic, Severity, printable
from provisioner.errors import InputError
from provisioner.inventory.values import (
    MAX_NUMBER_BITS,
    OddNumber,
    SecretReference,
    UnsafeText,
    VaultValue,
)
from provisioner.inventory.yamlerrors import unhashable, yaml_problem
from provisioner.marks import Map, Mark, Seq

#: Deepest nesting, aliases expanded.
MAX_DEPTH = 100
#: Most nodes in one document, aliases expanded.
MAX_NODES = 1_000_000

_CORE = "tag:yaml.org,2002:"
_RESOLVERS: dict[str | None, list[tuple[str, Any]]] = Resolver.yaml_implicit_resolvers
_CONSTRUCTOR = SafeConstructor()
_CONVERT = {
    "null": _CONSTRUCTOR.construct_yaml_null,
    "bool": _CONSTRUCTOR.construct_yaml_bool,
    "int": _CONSTRUCTOR.construct_yaml_int,
    "float": _CONSTRUCTOR.construct_yaml_float,
    "timestamp": _CONSTRUCTOR.construct_yaml_timestamp,
    "binary": _CONSTRUCTOR.construct_yaml_binary,
}
_VAULT_TAGS = ("!vault", "!vault-encrypted")
_REFERENCE_TAGS = ("!env", "!file")
_COMMAND_TAG = "!command"
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_MERGE = object()


@dataclass(frozen=True, slots=True)
class Document:
    """What one file says, and what is odd about it."""

    value: Any
    warnings: tuple[Diagnostic, ...] = ()


def parse_yaml(text: str, file: str, *, duplicates: Severity = Severity.WARNING) -> Document:
    """The one document in `text`; `file` names it in marks.

    `duplicates` is what a key given twice is: a warning (the last one counts, as for
    Ansible) or an error. Raises InputError with every fault found: syntax, unknown
    tags, bad dates and numbers, nesting or alias expansion beyond the bounds.
    """
    builder = _Builder(text, file, duplicates)
    try:
        value = builder.build()
    except yaml.YAMLError as error:
        raise InputError.of([*builder.errors, yaml_problem(error, text, file)]) from None
    if builder.errors:
        raise InputError.of(builder.errors)
    return Document(value, tuple(builder.warnings))


@dataclass(slots=True)
class _Node:
    """A finished value with its weight: nodes in it and levels below it."""

    value: Any
    mark: Mark
    size: int = 1
    height: int = 0


@dataclass(slots=True)
class _Frame:
    """A collection being built."""

    container: Map | Seq
    mark: Mark
    anchor: str | None
    unsafe: bool
    kind: str
    size: int = 1
    height: int = 0
    key: _Node | None = None
    merges: list[_Node] = field(default_factory=list)


class _Builder:
    def __init__(self, text: str, file: str, duplicates: Severity) -> None:
        self.file = file
        self.duplicates = duplicates
        self.errors: list[Diagnostic] = []
        self.warnings: list[Diagnostic] = []
        self._parser = CParser(text)
        self._stack: list[_Frame] = []
        self._anchors: dict[str, _Node | None] = {}
        self._nodes = 0
        self._root: _Node | None = None
        self._documents = 0

    def build(self) -> Any:
        handlers = {
            events.ScalarEvent: self._scalar,
            events.AliasEvent: self._alias,
            events.MappingStartEvent: self._open,
            events.SequenceStartEvent: self._open,
            events.MappingEndEvent: self._close,
            events.SequenceEndEvent: self._close,
            events.DocumentStartEvent: self._document,
        }
        get_event = self._parser.get_event
        while (event := get_event()) is not None:
            handler = handlers.get(type(event))
            if handler is not None:
                handler(event)
        return self._root.value if self._root else None

    def _mark(self, event: Any) -> Mark:
        start = event.start_mark
        return Mark(self.file, start.line + 1, start.column + 1)

    def _error(self, message: str, mark: Mark, advice: str) -> None:
        self.errors.append(Diagnostic(message, mark, advice))

    def _document(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            raise InputError(
                "a second YAML document starts here; one file holds one",
                mark=self._mark(event),
                help='remove the "---", or split the file',
            )

    def _scalar(self, event: Any) -> None:
        mark = self._mark(event)
        unsafe = bool(self._stack) and self._stack[-1].unsafe
        tag = event.tag
        text: str = event.value
        if tag in _VAULT_TAGS:
            self._add(_Node(VaultValue(text, mark), mark), event.anchor)
            return
        if tag in _REFERENCE_TAGS and text:
            reference = SecretReference(tag[1:], (text,), mark)
            self._add(_Node(reference, mark), event.anchor)
            return
        if tag == "!unsafe":
            tag, unsafe = None, True
        if tag is None or tag == "!":
            tag = _implicit_tag(text) if event.implicit[0] else "str"
        elif tag.startswith(_CORE):
            tag = tag[len(_CORE) :]
        if tag == "merge" and self._awaits_key():
            self._add(_Node(_MERGE, mark), None)
            return
        self._add(_Node(self._convert(tag, text, mark, unsafe), mark), event.anchor)

    def _convert(self, tag: str, text: str, mark: Mark, unsafe: bool) -> Any:
        if tag in ("str", "value", "merge", "python/unicode"):
            return UnsafeText(text) if unsafe else text
        convert = _CONVERT.get(tag)
        if convert is None:
            self._error(*_unknown_tag(tag, mark))
            return None
        try:
            value = convert(yaml.ScalarNode(_CORE + tag, text))
            if isinstance(value, int) and value.bit_length() > MAX_NUMBER_BITS:
                raise ValueError
            if isinstance(value, int) and tag == "int" and not _DECIMAL.fullmatch(text):
                return OddNumber(value, text)
            return value
        except (ValueError, KeyError, OverflowError, yaml.YAMLError):
            self._error(f'"{text}" is read as a YAML {tag}, but is none', mark, "quote it")
            return None

    def _open(self, event: Any) -> None:
        mark = self._mark(event)
        if len(self._stack) >= MAX_DEPTH:
            raise _too_deep(mark)
        mapping = type(event) is events.MappingStartEvent
        tag = event.tag
        unsafe = (bool(self._stack) and self._stack[-1].unsafe) or tag == "!unsafe"
        known = (None, "!", "!unsafe", _CORE + "map", _CORE + "set", _CORE + "python/dict")
        if tag not in (known if mapping else (None, "!", "!unsafe", _COMMAND_TAG, _CORE + "seq")):
            self._error(
                f"unknown tag {_shown_tag(tag)} on a {'mapping' if mapping else 'list'}",
                mark,
                "remove the tag",
            )
        container: Map | Seq = Map(mark=mark) if mapping else Seq(mark=mark)
        kind = "set" if tag == _CORE + "set" else "map" if mapping else "seq"
        if tag == _COMMAND_TAG:
            kind = "command"
        if event.anchor:
            self._name(event.anchor, None, mark)
        self._stack.append(_Frame(container, mark, event.anchor, unsafe, kind))

    def _close(self, _event: Any) -> None:
        frame = self._stack.pop()
        value: Any = frame.container
        if isinstance(value, Map) and frame.merges:
            value = self._merged(frame, value)
        if frame.kind == "set" and isinstance(value, Map):
            value = Seq(value, mark=frame.mark, marks=value.key_marks.values())
        if frame.kind == "command":
            value = self._command(value, frame.mark)
        node = _Node(value, frame.mark, frame.size, frame.height)
        if frame.anchor:
            self._anchors[frame.anchor] = node
        self._attach(node, new=1)

    def _command(self, words: Any, mark: Mark) -> SecretReference:
        if not words or not all(isinstance(word, str) for word in words):
            self._error(
                "!command takes a program and its arguments, each a text",
                mark,
                "write !command [pass, show, mail/dnsbl]; quote numbers",
            )
            return SecretReference("command", (), mark)
        return SecretReference("command", tuple(map(str, words)), mark)

    def _alias(self, event: Any) -> None:
        mark = self._mark(event)
        name = event.anchor
        if name not in self._anchors:
            raise InputError(
                f"the alias *{name} has no anchor &{name} before it",
                mark=mark,
                help='quote a value that starts with "*"',
            )
        node = self._anchors[name]
        if node is None:
            raise InputError(
                f"the alias *{name} stands inside what it names",
                mark=mark,
                help="a value cannot contain itself",
            )
        self._attach(_Node(node.value, mark, node.size, node.height), new=node.size)

    def _name(self, anchor: str, node: _Node | None, mark: Mark) -> None:
        if anchor in self._anchors:
            self._error(f"the anchor &{anchor} is given twice", mark, "rename one of them")
        self._anchors[anchor] = node

    def _add(self, node: _Node, anchor: str | None) -> None:
        if anchor:
            self._name(anchor, node, node.mark)
        self._attach(node, new=1)

    def _attach(self, node: _Node, *, new: int) -> None:
        """Put `node` where it belongs; `new` of its nodes are not in the total yet."""
        self._nodes += new
        if self._nodes > MAX_NODES:
            raise InputError(
                f"the document has more than {MAX_NODES} values once its aliases are expanded",
                mark=node.mark,
                help="use fewer aliases of aliases, or split the file",
            )
        if not self._stack:
            self._root = node
            return
        frame = self._stack[-1]
        frame.size += node.size
        if node.height >= frame.height:
            frame.height = node.height + 1
            if len(self._stack) + node.height > MAX_DEPTH:
                raise _too_deep(node.mark)
        if isinstance(frame.container, Seq):
            frame.container.append(node.value)
            frame.container.marks.append(node.mark)
        elif frame.key is None:
            frame.key = self._checked_key(node)
        else:
            self._set(frame, frame.container, frame.key, node)
            frame.key = None

    def _awaits_key(self) -> bool:
        frame = self._stack[-1] if self._stack else None
        return frame is not None and isinstance(frame.container, Map) and frame.key is None

    def _checked_key(self, node: _Node) -> _Node:
        if isinstance(node.value, (Map, Seq)):
            raise unhashable(node.mark)
        return node

    def _set(self, frame: _Frame, mapping: Map, key: _Node, node: _Node) -> None:
        if key.value is _MERGE:
            if frame.merges:
                self.warnings.append(_merged_twice(key.mark))
            frame.merges.append(node)
            return
        name = key.value
        if name in mapping:
            first = mapping.key_marks[name]
            found = Diagnostic(
                f'the key "{printable(str(name))}" is given twice in one mapping'
                f" (first in line {first.line})",
                key.mark,
                "remove one of them"
                if self.duplicates is Severity.ERROR
                else "the last one counts; remove the other",
                self.duplicates,
            )
            (self.errors if self.duplicates is Severity.ERROR else self.warnings).append(found)
        mapping[name] = node.value
        mapping.marks[name] = node.mark
        mapping.key_marks[name] = key.mark

    def _merged(self, frame: _Frame, own: Map) -> Map:
        """`own` laid over what its `<<` keys name: in a list the first one wins, of several
        keys the last."""
        result = Map(mark=frame.mark)
        for node in frame.merges:
            sources = reversed(node.value) if isinstance(node.value, Seq) else [node.value]
            for source in sources:
                if isinstance(source, Map):
                    overlay(result, source)
                else:
                    self._error(
                        '"<<" merges mappings; this is none',
                        node.mark,
                        "name an anchored mapping, or a list of them",
                    )
        overlay(result, own)
        return result


def overlay(below: Map, above: Map) -> None:
    """Set every key of `above` in `below`, with its marks."""
    below.update(above)
    below.marks.update(above.marks)
    below.key_marks.update(above.key_marks)


def _merged_twice(mark: Mark) -> Diagnostic:
    return Diagnostic(
        '"<<" is given twice in one mapping; what that means depends on the version of PyYAML',
        mark,
        "here the last that has a key gives it; write <<: [*other, *one]",
        Severity.WARNING,
    )


def _implicit_tag(text: str) -> str:
    for tag, regexp in _RESOLVERS.get(text[:1], ()):
        if regexp.match(text):
            return tag[len(_CORE) :]
    return "str"


def _shown_tag(tag: str) -> str:
    return "!!" + tag[len(_CORE) :] if tag.startswith(_CORE) else tag


def _unknown_tag(tag: str, mark: Mark) -> tuple[str, Mark, str]:
    advice = "known here are !vault, !env, !file, !command, !unsafe and YAML's own"
    if tag in (*_REFERENCE_TAGS, _COMMAND_TAG):
        advice = "write !env NAME, !file PATH or !command [PROGRAM, ARGUMENT]"
        return f"{tag} cannot stand here like this", mark, advice
    return f"unknown tag {_shown_tag(tag)}", mark, f"{advice}; quote the value if it is text"


def _too_deep(mark: Mark) -> InputError:
    return InputError(
        f"nested more than {MAX_DEPTH} levels deep, aliases expanded",
        mark=mark,
        help="flatten the structure",
    )
