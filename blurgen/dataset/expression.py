"""Conditions on provenance, such as "blur_kind == 'motion' and area < 0.5": read by us, never run as Python.

They mean what Python means by them, row by row, and are worked out column by column. ``and``, ``or`` and chains of
comparisons look at their right side only in the rows that it decides: "zoom > 0 and area / zoom < 9" is always good.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NoReturn, get_args

import numpy as np

from blurgen.errors import ArgumentError
from blurgen.fill import FillMethod
from blurgen.kernels import DEFOCUS, MOTION, BlurKind
from blurgen.masks import KINDS, WHOLE
from blurgen.params import suggest
from blurgen.shards.format import FLAGS, PAIR_CODECS, PREFIXES, PROVENANCE_FIELDS, PROVENANCE_WORDS

MAX_LENGTH = 2000
MAX_DEPTH = 50

Column = Callable[[np.ndarray], np.ndarray]
"""Works a value out for the rows of a provenance table: (n,), bool for a condition, else Python's own values."""

GROUPS = {"defocus": DEFOCUS, "motion": MOTION}
"""Words that stand for several kinds of blur."""

_TYPES = {"sharp": ("none",), **GROUPS}
_BLUR_WORDS = (*get_args(BlurKind), *GROUPS)
_MASK_WORDS = ("none", *KINDS, *WHOLE)

WORDS = {
    **{f"{prefix}blur_kind": _BLUR_WORDS for prefix in PREFIXES},
    **{f"{prefix}blur_type": tuple(_TYPES) for prefix in PREFIXES},
    **{f"{prefix}mask_kind": _MASK_WORDS for prefix in PREFIXES},
    "fill": get_args(FillMethod),
    "codec": tuple(sorted({word.decode() for words in PAIR_CODECS.values() for word in words})),
    **{name: tuple(word.decode() for word in words) for name, words in PROVENANCE_WORDS.items()},
}
"""Name -> the words that it can be compared with; other texts, such as ``photo``, can be anything."""

ALIASES = {"area": "blurred_share"}


@dataclass(frozen=True)
class _Value:
    """A part of the expression: what kind of thing it is, what to call it, and how to work it out.

    A flag is a number, 0 or 1, that may stand as a condition. ``word`` is set for a text in quotes, ``words`` for a
    name that can only be compared with some.
    """

    kind: Literal["number", "flag", "text", "condition"]
    shown: str
    column: Column
    word: str | None = None
    words: tuple[str, ...] | None = None


def parse_condition(text: str) -> Column:
    """A function that says for each row of a provenance table whether the condition holds: (n,) bool.

    Names are the columns of the provenance, ``area`` (the blurred share), ``blur_type`` and ``second_blur_type``
    (sharp, defocus or motion); as a ``blur_kind``, 'motion' and 'defocus' stand for all kinds of theirs. Numbers can be
    compared with numbers, texts with texts for equality, either with several at once by ``in``; ``+ - * /``, ``and``,
    ``or`` and ``not`` are what they are in Python.

    Raises
    ------
    ArgumentError
        Anything else, here; or when it is worked out, where a number is divided by 0 or becomes too large.
    """
    value = _as_condition(_compile(_parsed(text), 0))

    def holds(table: np.ndarray) -> np.ndarray:
        try:
            with np.errstate(all="ignore"):  # what is no number is neither less nor more, nor worth a warning
                return value.column(table)
        except ZeroDivisionError:
            raise ArgumentError(f'{value.shown}: divides by 0 in some pair; ask first, as in "zoom > 0 and"') from None
        except OverflowError:
            raise ArgumentError(f"{value.shown}: a number becomes too large; use smaller ones") from None

    return holds


def _parsed(text: str) -> ast.expr:
    if len(text) > MAX_LENGTH:
        raise ArgumentError(f"the condition is {len(text)} characters long; give {MAX_LENGTH} at most")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        fault = f"{error.msg}, at character {error.offset}" if error.offset else error.msg
        shown = " ".join(text.split())[:40]
        raise ArgumentError(f'"{shown}" is not a condition ({fault:.80}); write it as in "area < 0.5"') from None
    except (ValueError, RecursionError, MemoryError, OverflowError):
        raise ArgumentError('the condition can\'t be read; write a short one, as in "area < 0.5"') from None


def _compile(node: ast.expr, depth: int) -> _Value:
    if depth > MAX_DEPTH:
        raise ArgumentError(f"the condition is nested more than {MAX_DEPTH} deep; write a simpler one")
    compiler = _NODES.get(type(node))
    if compiler is None:
        _refuse(node)
    return compiler(node, depth + 1)


def _refuse(node: ast.AST) -> NoReturn:
    what = _brief(node) if isinstance(node, ast.expr) else type(node).__name__.lower()
    raise ArgumentError(
        f"{what} can't stand in a condition: it is made of names, numbers, texts in quotes, comparisons, in, and, or, "
        "not, + - * / and parentheses"
    )


def _brief(node: ast.expr) -> str:
    """The source of a part, for people."""
    try:
        text = ast.unparse(node)
    except (ValueError, RecursionError):  # a whole number of more digits than Python writes, or nested too deeply
        text = f"this {type(node).__name__.lower()}"
    return text if len(text) <= 40 else f"{text[:37]}..."


# Names and constants --------------------------------------------------------------------------------------------------


def _name(node: ast.Name, _: int) -> _Value:
    name = ALIASES.get(node.id, node.id)
    if name.endswith("blur_type") and name in WORDS:
        kinds = name.replace("_type", "_kind")
        return _Value("text", node.id, lambda table: _types_of(_texts(table[kinds])), words=WORDS[name])
    if name not in PROVENANCE_FIELDS:
        if any(node.id in words for words in WORDS.values()):
            raise ArgumentError(f"{node.id:.40} is a word, not a name: put it in quotes, '{node.id:.40}'")
        known = [*PROVENANCE_FIELDS, *(name for name in WORDS if name not in PROVENANCE_FIELDS), *ALIASES]
        raise ArgumentError(f'unknown name "{node.id:.40}"; {suggest(node.id, known)}')
    if "S" in PROVENANCE_FIELDS[name]:
        return _Value("text", node.id, lambda table: _texts(table[name]), words=WORDS.get(name))
    return _Value("flag" if name in FLAGS else "number", node.id, lambda table: table[name].astype(object))


def _texts(values: np.ndarray) -> np.ndarray:
    return np.array([value.decode() for value in values.tolist()] or [None], object)[: len(values)]


def _types_of(kinds: np.ndarray) -> np.ndarray:
    """Sharp, defocus or motion, (n,) object, for kinds of blur."""
    return np.select([np.isin(kinds, members) for members in _TYPES.values()], list(_TYPES), "").astype(object)


def _constant(node: ast.Constant, _: int) -> _Value:
    if isinstance(node.value, bool):
        return _Value("flag", str(node.value), lambda table: _filled(table, int(node.value)))
    if isinstance(node.value, (int, float)):
        return _Value("number", _brief(node), lambda table: _filled(table, node.value))
    if isinstance(node.value, str):
        return _Value("text", _brief(node), lambda table: _filled(table, node.value), word=node.value)
    _refuse(node)


def _filled(table: np.ndarray, value: object) -> np.ndarray:
    return np.full(len(table), value, object)


# Numbers --------------------------------------------------------------------------------------------------------------

_ARITHMETIC = {ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.true_divide}


def _arithmetic(node: ast.BinOp, depth: int) -> _Value:
    operation = _ARITHMETIC.get(type(node.op))
    if operation is None:
        _refuse(node)
    left, right = (_as_number(_compile(side, depth)) for side in (node.left, node.right))
    return _Value("number", _brief(node), lambda table: operation(left.column(table), right.column(table)))


def _unary(node: ast.UnaryOp, depth: int) -> _Value:
    value = _compile(node.operand, depth)
    if isinstance(node.op, ast.Not):
        asked = _as_condition(value)
        return _Value("condition", _brief(node), lambda table: ~asked.column(table))
    if not isinstance(node.op, ast.USub):
        _refuse(node)
    number = _as_number(value)
    return _Value("number", _brief(node), lambda table: np.negative(number.column(table)))


def _as_number(value: _Value) -> _Value:
    if value.kind not in ("number", "flag"):
        raise ArgumentError(f"{value.shown} is a {value.kind}, and a number is needed there")
    return value


# Conditions -----------------------------------------------------------------------------------------------------------


def _as_condition(value: _Value) -> _Value:
    if value.kind == "flag":
        return replace(value, kind="condition", column=lambda table: value.column(table).astype(bool))
    if value.kind != "condition":
        example = f"{value.shown} < 0.5" if value.kind == "number" else f"{value.shown} == '...'"
        raise ArgumentError(f'{value.shown} is a {value.kind} and no condition; compare it, as in "{example}"')
    return value


def _logic(node: ast.BoolOp, depth: int) -> _Value:
    parts = [_as_condition(_compile(part, depth)).column for part in node.values]
    return _Value("condition", _brief(node), _step_by_step(parts, isinstance(node.op, ast.And)))


def _step_by_step(parts: list[Column], until: bool) -> Column:
    """All of ``parts`` (until: True) or any of them (False); a row that is decided is not looked at again."""

    def column(table: np.ndarray) -> np.ndarray:
        result = np.full(len(table), until)
        for part in parts:
            open_rows = np.flatnonzero(result == until)
            result[open_rows] = part(table[open_rows])
        return result

    return column


def _comparison(node: ast.Compare, depth: int) -> _Value:
    sides = [node.left, *node.comparators]
    links = [_link(*link, depth) for link in zip(sides, node.ops, sides[1:], strict=False)]
    return _Value("condition", _brief(node), _step_by_step(links, True))


def _link(left: ast.expr, operator: ast.cmpop, right: ast.expr, depth: int) -> Column:
    """One link of a chain of comparisons."""
    value = _compile(left, depth)
    if not isinstance(operator, (ast.In, ast.NotIn)):
        return _compared(value, operator, _compile(right, depth))
    if not isinstance(right, (ast.Tuple, ast.List)) or not right.elts:
        raise ArgumentError(f"after in, {_brief(right)} can't stand; give several values, as in ('disk', 'gaussian')")
    equal = [_compared(value, ast.Eq(), _compile(item, depth)) for item in right.elts]

    def found(table: np.ndarray) -> np.ndarray:
        return np.logical_or.reduce([one(table) for one in equal])

    return found if isinstance(operator, ast.In) else lambda table: ~found(table)


_COMPARISONS = {
    **{ast.Eq: np.equal, ast.NotEq: np.not_equal, ast.Lt: np.less, ast.LtE: np.less_equal},
    **{ast.Gt: np.greater, ast.GtE: np.greater_equal},
}


def _compared(left: _Value, operator: ast.cmpop, right: _Value) -> Column:
    compare = _COMPARISONS.get(type(operator))
    if compare is None:
        _refuse(operator)
    if "text" not in (left.kind, right.kind):
        left, right = _as_number(left), _as_number(right)
        return lambda table: compare(left.column(table), right.column(table)).astype(bool)
    for one, other in ((left, right), (right, left)):
        if one.kind != "text":
            raise ArgumentError(f"{one.shown} is a {one.kind} and {other.shown} a text; they can't be compared")
    if not isinstance(operator, (ast.Eq, ast.NotEq)):
        raise ArgumentError(f"{left.shown} and {right.shown} are texts: compare them by ==, != or in")
    same = _same_text(left, right)
    return same if isinstance(operator, ast.Eq) else lambda table: ~same(table)


def _same_text(left: _Value, right: _Value) -> Column:
    name, other = (right, left) if left.word is not None else (left, right)
    if name.word is not None:
        raise ArgumentError(f"{left.shown} and {right.shown} are both texts in quotes: compare a name with a text")
    if other.word is None:
        return lambda table: np.equal(name.column(table), other.column(table)).astype(bool)
    if name.words is not None and other.word not in name.words:
        raise ArgumentError(f'{name.shown} is never "{other.word:.40}"; {suggest(other.word, list(name.words))}')
    members = GROUPS.get(other.word, (other.word,)) if name.words is _BLUR_WORDS else (other.word,)
    return lambda table: np.array([text in members for text in name.column(table).tolist()], bool)


_NODES = {
    **{ast.Name: _name, ast.Constant: _constant, ast.BinOp: _arithmetic, ast.UnaryOp: _unary},
    **{ast.BoolOp: _logic, ast.Compare: _comparison},
}
