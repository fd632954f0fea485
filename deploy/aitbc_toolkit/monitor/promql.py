"""What is a rule's expression worth right now? For the part of PromQL that the rules use.

The parser is a library's; what it accepts and nobody evaluates here is refused when the rules are
read, so that no rule is silently never true. Pure. One difference from Prometheus: `increase` is
what was really counted, not stretched to the edges of its range, and 0 of a single sample.
"""

import operator
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TypeVar

import promql_parser as syntax

from aitbc_toolkit.errors import ConfigError
from aitbc_toolkit.monitor.series import KEPT_S, Labels, Series, Vector

Worth = float | Vector
Found = TypeVar("Found")


def _quotient(left: float, right: float) -> float:
    if right:
        return left / right
    return float("nan") if not left else float("inf") * left


_ARITHMETIC: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _quotient,
}
_COMPARISON: Mapping[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
_GATHERED: Mapping[str, Callable[[Sequence[float]], float]] = {
    "sum": sum,
    "max": max,
    "min": min,
    "count": len,
}


def read(text: str) -> syntax.Expr:
    """Parse an expression and see that all of it can be evaluated.

    Raises: ConfigError.
    """
    hint = "edit templates/alerts.yaml.j2"
    try:
        parsed = syntax.parse(text)
    except ValueError as wrong:
        raise ConfigError(f"the rule {text!r} is no PromQL: {wrong}", hint=hint) from wrong
    try:
        _vector(evaluate(parsed, Series(), now=0.0))
    except NotImplementedError as lacking:
        raise ConfigError(f"the rule {text!r} uses {lacking}", hint=hint) from lacking
    return parsed


def names(expr: syntax.Expr) -> frozenset[str]:
    """Name the metrics that an expression looks at."""
    found: set[str] = set()

    def visit(part: object) -> None:
        if isinstance(part, syntax.VectorSelector):
            found.add(_name(part))

    syntax.walk(expr, visit)
    return frozenset(found)


def evaluate(expr: object, series: Series, *, now: float) -> Worth:
    """Give the value of an expression, or the values of the series for which it holds."""
    match expr:
        case syntax.NumberLiteral():
            return expr.val
        case syntax.ParenExpr():
            return evaluate(expr.expr, series, now=now)
        case syntax.VectorSelector():
            return dict(_matching(expr, series.at(_name(expr), now=now)))
        case syntax.AggregateExpr():
            return _gathered(expr, _vector(evaluate(expr.expr, series, now=now)))
        case syntax.BinaryExpr():
            left = evaluate(expr.lhs, series, now=now)
            return _combined(expr, left, evaluate(expr.rhs, series, now=now))
        case syntax.Call():
            return _called(expr.func.name, expr.args, series, now=now)
    raise NotImplementedError(f"{type(expr).__name__}, which nothing evaluates here")


def _called(name: str, args: Sequence[object], series: Series, *, now: float) -> Worth:
    match name:
        case "time":
            return now
        case "abs":
            worth = _vector(evaluate(args[0], series, now=now))
            return {labels: abs(value) for labels, value in worth.items()}
        case "scalar":
            worth = _vector(evaluate(args[0], series, now=now))
            return float(next(iter(worth.values()))) if len(worth) == 1 else float("nan")
        case "changes":
            ranges = _ranges(args[0], series, now=now)
            return {each: _count_changes(values) for each, values in ranges}
        case "increase":
            ranges = _ranges(args[0], series, now=now)
            return {each: _growth(values) for each, values in ranges}
    raise NotImplementedError(f"the function {name}, which nothing evaluates here")


def _ranges(expr: object, series: Series, *, now: float) -> Iterator[tuple[Labels, list[float]]]:
    if not isinstance(expr, syntax.MatrixSelector):
        raise NotImplementedError(f"a range that is a {type(expr).__name__}")
    range_s = expr.range.total_seconds()
    if range_s > KEPT_S:
        raise NotImplementedError(f"a range of {range_s:.0f} s, kept are {KEPT_S:.0f} s")
    selector = expr.vector_selector
    return _matching(selector, series.over(_name(selector), now=now, range_s=range_s))


def _count_changes(values: Sequence[float]) -> float:
    return sum(before != after for before, after in pairwise(values))


def _growth(values: Sequence[float]) -> float:
    """Add up what a counter counted; one that is smaller than before began anew at 0."""
    return sum(after - before if after >= before else after for before, after in pairwise(values))


def _name(selector: syntax.VectorSelector) -> str:
    if selector.name is None or selector.offset is not None or selector.at is not None:
        raise NotImplementedError("a selector without a name, or of another time")
    return selector.name


def _matching(
    selector: syntax.VectorSelector, found: Iterable[tuple[Labels, Found]]
) -> Iterator[tuple[Labels, Found]]:
    if selector.matchers.or_matchers:
        raise NotImplementedError("`or` between labels")
    wanted = [(each.name, _judge(each)) for each in selector.matchers.matchers]
    for labels, told in found:
        has = dict(labels)
        if all(fits(has.get(name, "")) for name, fits in wanted):
            yield labels, told


def _judge(matcher: syntax.Matcher) -> Callable[[str], bool]:
    value, pattern = matcher.value, re.compile(matcher.value)
    if matcher.op == syntax.MatchOp.Equal:
        return lambda told: told == value
    if matcher.op == syntax.MatchOp.NotEqual:
        return lambda told: told != value
    if matcher.op == syntax.MatchOp.Re:
        return lambda told: pattern.fullmatch(told) is not None
    return lambda told: pattern.fullmatch(told) is None


def _gathered(expr: syntax.AggregateExpr, worth: Vector) -> Vector:
    how = _GATHERED.get(str(expr.op))
    if how is None or expr.param is not None:
        raise NotImplementedError(f"the aggregation {expr.op}, which nothing evaluates here")
    if expr.modifier is not None and expr.modifier.type != syntax.AggModifierType.By:
        raise NotImplementedError("`without`")
    kept = set(expr.modifier.labels) if expr.modifier is not None else set()
    groups: dict[Labels, list[float]] = defaultdict(list)
    for labels, value in worth.items():
        groups[frozenset(pair for pair in labels if pair[0] in kept)].append(value)
    return {labels: how(values) for labels, values in groups.items()}


def _combined(expr: syntax.BinaryExpr, left: Worth, right: Worth) -> Worth:
    how, word = expr.modifier, str(expr.op)
    if how is not None and (how.matching is not None or how.return_bool or how.group_labels):
        raise NotImplementedError("`on`, `ignoring`, `group_*` or `bool`")
    if word in ("and", "or", "unless"):
        return _of_sets(word, _vector(left), _vector(right))
    if isinstance(left, float) and isinstance(right, float):
        if word not in _ARITHMETIC:
            raise NotImplementedError(f"{word} between two numbers")
        return _ARITHMETIC[word](left, right)
    pairs = _paired(left, right)
    if word in _ARITHMETIC:
        return {labels: _ARITHMETIC[word](one, other) for labels, one, other in pairs}
    if word not in _COMPARISON:
        raise NotImplementedError(f"the operator {word}")
    # What a comparison leaves is the side that is a vector; of two, the left one.
    keeps_right = isinstance(left, float)
    return {
        labels: other if keeps_right else one
        for labels, one, other in pairs
        if _COMPARISON[word](one, other)
    }


def _of_sets(word: str, left: Vector, right: Vector) -> Vector:
    match word:
        case "and":
            return {labels: value for labels, value in left.items() if labels in right}
        case "unless":
            return {labels: value for labels, value in left.items() if labels not in right}
        case _:
            return right | left


def _paired(left: Worth, right: Worth) -> Iterator[tuple[Labels, float, float]]:
    """Put together what is about the same thing; a number is about each."""
    if isinstance(left, float):
        yield from ((labels, left, value) for labels, value in _vector(right).items())
    elif isinstance(right, float):
        yield from ((labels, value, right) for labels, value in left.items())
    else:
        yield from (
            (labels, value, right[labels]) for labels, value in left.items() if labels in right
        )


def _vector(worth: Worth) -> Vector:
    if isinstance(worth, float):
        raise NotImplementedError("a number where series are asked for")
    return worth
