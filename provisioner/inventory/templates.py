"""Jinja2 in values: compiled once a text, run in a sandbox, everything undefined an error.

A value that is one expression, `{{ ... }}`, gives that expression's value with its type;
any other template gives text. Only the filters of `filters` are known, and what a template
may do is bounded: it comes from a file, and a file may come from anybody.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from types import CodeType
from typing import Any

from jinja2 import StrictUndefined, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS
from jinja2.visitor import NodeTransformer

from provisioner.diagnostics import nearest, printable
from provisioner.errors import InputError
from provisioner.inventory.filters import FILTERS, FilterError, check_length
from provisioner.inventory.markers import touch, touching
from provisioner.secrets import SecretText

#: Longest loop, in turns.
MAX_TURNS = 10_000

#: Statements that reach outside the value, or have no business in one.
_REFUSED = (
    nodes.Include,
    nodes.Import,
    nodes.FromImport,
    nodes.Extends,
    nodes.Block,
    nodes.Macro,
    nodes.CallBlock,
)
#: What may be called or read of a value, beside the keys of a mapping.
_METHODS = frozenset(
    (
        "capitalize", "count", "endswith", "find", "get", "index", "isalnum", "isalpha", "isdigit",
        "islower", "isupper", "items", "join", "keys", "lower", "lstrip", "removeprefix",
        "removesuffix", "replace", "rsplit", "rstrip", "split", "splitlines", "startswith",
        "strip", "title", "upper", "values",
    )
)  # fmt: skip
_LONG = (str, list, tuple)
_LOOKUPS = ("lookup", "query", "q")


def _noticed(value: Any) -> Any:
    if isinstance(value, SecretText):
        touch()
    return value


class _Undefined(StrictUndefined):
    """Any use is an error, but `a.b | default(1)` asks no less of `a` than of `b`."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name[:2] == "__":
            raise AttributeError(name)
        return self

    def __getitem__(self, _key: Any) -> _Undefined:  # type: ignore[override]
        return self


class _Bounded(NodeTransformer):
    """`a ~ b` as a filter, which bounds it; Jinja2's own operator does not."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802 - Jinja2's protocol
        self.generic_visit(node)
        texts = nodes.List(node.nodes, lineno=node.lineno)
        return nodes.Filter(texts, "join", [], [], None, None, lineno=node.lineno)


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(("*", "**", "%", "+", "<<"))

    def __init__(self) -> None:
        super().__init__(undefined=_Undefined, keep_trailing_newline=True, autoescape=False)
        self.filters = dict(FILTERS)
        self.globals = {}

    def getattr(self, obj: Any, attribute: str) -> Any:
        # A key of a mapping comes before what our containers have by that name (`marks`).
        if isinstance(obj, Mapping) and (attribute in obj or attribute not in _METHODS):
            if attribute in obj:
                return _noticed(obj[attribute])
            return self._missing(obj, attribute)
        if isinstance(obj, StrictUndefined):
            return obj
        if attribute not in _METHODS:
            return self.unsafe_undefined(obj, attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Mapping):
            try:
                return _noticed(obj[argument])
            except (KeyError, TypeError):
                return self._missing(obj, argument)
        return _noticed(super().getitem(obj, argument))

    def _missing(self, obj: Any, name: Any) -> Any:
        known = [each for each in obj if isinstance(each, str)]
        guess = nearest(str(name), known)
        hint = f" (did you mean '{guess}'?)" if guess else ""
        return self.undefined(f"there is no '{printable(str(name))}' in it{hint}", obj=obj)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return attr in _METHODS and super().is_safe_attribute(obj, attr, value)

    def call(self, context: Context, obj: Any, *arguments: Any, **options: Any) -> Any:
        method, text = getattr(obj, "__name__", ""), getattr(obj, "__self__", None)
        if isinstance(text, str) and method == "replace":
            return FILTERS["replace"](text, *arguments, **options)
        if isinstance(text, str) and method == "join":
            return FILTERS["join"](*arguments, text)
        return super().call(context, obj, *arguments, **options)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and not (_small(left, 1 << 32) and _small(right, 64)):
            raise FilterError("the power is too large")
        if operator == "<<":
            raise FilterError("there is no operator <<")
        if operator == "%" and isinstance(left, str):
            raise FilterError("write ~ to join texts; % formats nothing here")
        if operator == "*" and (isinstance(left, _LONG) or isinstance(right, _LONG)):
            check_length(_size(left) * _size(right))
        result = super().call_binop(context, operator, left, right)
        check_length(_size(result) if isinstance(result, _LONG) else 0)
        return result


def _bounded_range(*arguments: int) -> range:
    numbers = range(*arguments)
    if len(numbers) > MAX_TURNS:
        raise FilterError(f"a range has {MAX_TURNS} numbers at most")
    return numbers


def _small(value: Any, bound: int) -> bool:
    return isinstance(value, int | float) and abs(value) <= bound


def _size(value: Any) -> int:
    """How long a text or list is; of a number, how often it repeats what it multiplies."""
    if isinstance(value, _LONG):
        return max(len(value), 1)
    return max(value, 1) if isinstance(value, int) else 1


_ENVIRONMENT = _Environment()


#: What every template can use beside the names in scope.
FUNCTIONS: Mapping[str, Any] = {"range": _bounded_range}


class Template:
    """One compiled text. Raises InputError (without place) for what Jinja2 cannot read."""

    def __init__(self, text: str) -> None:
        with warnings.catch_warnings():
            # "\." in a text is Jinja2's own business, and means what its author thinks.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._native, code = _compiled(text)
        self._template = _ENVIRONMENT.template_class.from_code(
            _ENVIRONMENT, code, _ENVIRONMENT.globals, None
        )

    def render(self, names: Mapping[str, Any]) -> tuple[Any, bool]:
        """What the template gives with `names` in scope (they are asked for when needed),
        and whether it got hold of a secret on the way.

        Raises InputError (without place) for what is undefined or cannot be done.
        """
        try:
            with touching() as flags:
                return self._rendered(names), bool(flags)
        except InputError:
            raise
        except RecursionError:
            raise _too_deep() from None
        except SecurityError as error:
            raise InputError(
                f"in the template: {error}", help=f"usable are {', '.join(sorted(_METHODS))}"
            ) from None
        except TemplateError as error:
            raise _explained(str(error.message), names) from None
        except Exception as error:  # noqa: BLE001 - whatever the values make Python say
            raise InputError(f"in the template: {error}", help=_OF_TYPE) from None

    def _rendered(self, names: Mapping[str, Any]) -> Any:
        context = self._template.new_context(names, shared=True)  # type: ignore[arg-type]
        pieces = self._template.root_render_func(context)
        if not self._native:
            return _joined(pieces)
        for _ in pieces:
            pass
        result = context.vars["result"]
        if isinstance(result, StrictUndefined):
            result._fail_with_undefined_error()
        return result


def _too_deep() -> InputError:
    return InputError("the template is nested too deeply", help="simplify it")


def _compiled(text: str) -> tuple[bool, CodeType]:
    """Whether `text` is one expression, whose value is then called `result`; and its code."""
    try:
        tree = _ENVIRONMENT.parse(text)
        _refuse(tree)
        _Bounded().visit(tree)
        expression = _sole_expression(tree)
        if expression is not None:
            target = nodes.Name("result", "store", lineno=1)
            tree = nodes.Template([nodes.Assign(target, expression, lineno=1)], lineno=1)
            tree.set_environment(_ENVIRONMENT)
        return expression is not None, _ENVIRONMENT.compile(tree)
    except RecursionError:
        raise _too_deep() from None
    except (TemplateError, SyntaxError) as error:
        reason = error.message if isinstance(error, TemplateError) else error.msg
        raise InputError(
            f"the template cannot be read: {reason}",
            help="end what was begun: {% endif %}, {% endfor %}"
            if "Unexpected end of template" in (reason or "")
            else 'close "{{" with "}}" and "{%" with "%}"; text that is no template: !unsafe',
        ) from None


_OF_TYPE = "check that each value has the type its operator or filter takes"


def _joined(pieces: Iterable[str]) -> str:
    parts: list[str] = []
    length = 0
    for piece in pieces:
        parts.append(piece)
        length += len(piece)
        check_length(length)
    return "".join(parts)


def _sole_expression(tree: nodes.Template) -> nodes.Expr | None:
    if len(tree.body) != 1 or not isinstance(tree.body[0], nodes.Output):
        return None
    parts = tree.body[0].nodes
    blank = [each for each in parts if isinstance(each, nodes.TemplateData)]
    rest = [each for each in parts if not isinstance(each, nodes.TemplateData)]
    return rest[0] if len(rest) == 1 and not blank else None


def _refuse(tree: nodes.Template) -> None:
    """Raise InputError for filters, tests and statements that are not known here."""
    for each in tree.find_all((nodes.Filter, nodes.Test)):
        kind = "filter" if isinstance(each, nodes.Filter) else "test"
        known: Mapping[str, Any] = FILTERS if kind == "filter" else TESTS
        if each.name not in known:
            guess = nearest(each.name, known)
            names = sorted(name for name in known if "." not in name and name.isidentifier())
            raise InputError(
                f"the {kind} '{printable(each.name)}' is not known here",
                help=f"did you mean '{guess}'?" if guess else f"known are {', '.join(names)}",
            )
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name in _LOOKUPS:
            raise InputError(
                f"'{call.node.name}' is not known here: templates reach nothing outside",
                help="for a secret write !env NAME, !file PATH or !command [PROGRAM, ARGUMENT]",
            )
    refused = next(iter(tree.find_all(_REFUSED)), None)
    if refused is not None:
        what = type(refused).__name__.lower()
        raise InputError(f"a value's template has no {what}", help="expressions, if and for")


def _explained(message: str, names: Mapping[str, Any]) -> InputError:
    advice = "a value that may be missing: {{ name | default('...') }}"
    if message.endswith("is undefined") and message.startswith("'"):
        name = message.split("'")[1]
        guess = nearest(name, [each for each in names if isinstance(each, str)])
        if guess:
            advice = f"did you mean {guess}?"
    return InputError(f"in the template: {message}", help=advice)
