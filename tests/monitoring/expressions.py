"""What an expression of PromQL asks for."""

from dataclasses import dataclass, field
from typing import Any

import promql_parser


@dataclass(frozen=True)
class Selector:
    """Series that are asked for.

    matchers  label → what it must be, its operator before it: `=prod`, `=~5..`
    """

    metric: str
    matchers: dict[str, str]


@dataclass
class Asked:
    """Everything in an expression that names a metric or a label."""

    selectors: list[Selector] = field(default_factory=list)
    grouping: set[str] = field(default_factory=set)  # labels of `by`, `on`, `group_left`


_OPERATORS = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}


def asked_in(expression: str) -> Asked:
    """Raises: ValueError if it is no PromQL."""
    asked = Asked()

    def visit(node: Any) -> None:
        match node:
            case promql_parser.VectorSelector():
                matchers = {
                    one.name: _OPERATORS[str(one.op).removeprefix("MatchOp.")] + one.value
                    for one in node.matchers.matchers
                }
                asked.selectors.append(Selector(node.name or "", matchers))
            case promql_parser.AggregateExpr(modifier=modifier) if modifier:
                asked.grouping.update(modifier.labels)
            case promql_parser.BinaryExpr(modifier=modifier) if modifier:
                if modifier.matching:
                    asked.grouping.update(modifier.matching.labels)

    promql_parser.walk(promql_parser.parse(expression), visit)
    return asked
