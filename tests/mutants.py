"""Breaks one line after the other and sees which tests notice.

`python -m tests.mutants gateway/access gateway/inference export/steps --share 0.3 --jobs 2`

Each mutant is one change of one expression or statement, written into a copy of the tree; the fast
tests that mirror its module run until one fails. Who survives is printed with its line. `--seed`
and `--share` choose which of all mutants are made.
"""

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import cast

ROOT = Path(__file__).parents[1]
LEFT_OUT = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__")
LONGEST_SECONDS = 120  # a mutant that runs for ever is noticed
# Tests beside those that mirror a module, where they are what would notice.
BESIDE = {
    "gateway/access": ["tests/gateway/rest/test_endpoints.py", "tests/gateway/test_errors.py"],
    "gateway/inference": ["tests/gateway/rest/test_endpoints.py", "tests/gateway/test_errors.py"],
}
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "True": "False"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A module with one change."""

    module: Path  # from the root
    line: int
    change: str
    source: str


def mutants(module: Path) -> Iterator[Mutant]:
    """Every mutant of one module."""
    text = (ROOT / module).read_text()
    tree = ast.parse(text)
    _drop_what_runs_alike(tree)
    for number, node in enumerate(ast.walk(tree)):
        for change in _changes(node):
            mutated = copy.deepcopy(tree)
            target = next(n for i, n in enumerate(ast.walk(mutated)) if i == number)
            before = ast.unparse(target)
            change(target)
            after = ast.unparse(mutated)
            line = getattr(node, "lineno", 0)
            yield Mutant(module, line, f"{before!r:.60} -> {ast.unparse(target)!r:.60}", after)


def _drop_what_runs_alike(tree: ast.AST) -> None:
    """Annotations, what decorators are given (frozen or not, a dataclass works), strictness."""
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign):
            node.annotation = ast.Name(ast.unparse(node.annotation), ast.Load())
        if isinstance(node, ast.Call):
            node.keywords = [keyword for keyword in node.keywords if keyword.arg != "strict"]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
            for argument in (*node.args.args, *node.args.kwonlyargs, *node.args.posonlyargs):
                argument.annotation = None
        if isinstance(node, ast.ClassDef):
            node.decorator_list = [
                ast.Name(ast.unparse(d), ast.Load()) if "dataclass" in ast.unparse(d) else d
                for d in node.decorator_list
            ]


Change = Callable[[ast.AST], None]


def _changes(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.Compare(ops=[op]) if type(op) in COMPARISONS:
            yield lambda n: n.ops.__setitem__(0, COMPARISONS[type(n.ops[0])]())  # type: ignore[attr-defined]
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in ARITHMETIC:
            yield lambda n: setattr(n, "op", ARITHMETIC[type(n.op)]())  # type: ignore[attr-defined]
        case ast.BoolOp():
            yield lambda n: setattr(
                n,
                "op",
                ast.Or() if isinstance(n.op, ast.And) else ast.And(),  # type: ignore[attr-defined]
            )
        case ast.UnaryOp(op=ast.Not()):
            yield lambda n: _become(n, cast(ast.UnaryOp, n).operand)
        case ast.Name(id=name) if name in NAMES:
            yield lambda n: setattr(n, "id", NAMES[n.id])  # type: ignore[attr-defined]
        case ast.Constant(value=bool()):
            yield lambda n: setattr(n, "value", not n.value)  # type: ignore[attr-defined]
        case ast.Constant(value=int() | float()):
            yield lambda n: setattr(n, "value", _other(n.value))  # type: ignore[attr-defined]
        case ast.If() | ast.While() | ast.IfExp():
            yield lambda n: setattr(n, "test", ast.UnaryOp(ast.Not(), n.test))  # type: ignore[attr-defined]
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.AugAssign() | ast.Raise():
            yield lambda n: _become(n, ast.Pass())
        case _:
            return
    if isinstance(node, ast.AugAssign):
        yield lambda n: _become(n, ast.Pass())


def _other(value: float) -> float:
    """A tenfold constant, or the next small number: what a test should notice."""
    return value + 1 if abs(value) < 4 else value * 10


def _become(node: ast.AST, other: ast.AST) -> None:
    """Turn a node into another in place."""
    node.__class__ = other.__class__
    fields = {name: getattr(other, name) for name in other._fields if hasattr(other, name)}
    place = {k: v for k, v in vars(node).items() if k in ("lineno", "col_offset")}
    node.__dict__.clear()
    node.__dict__.update(place | fields)


def tests_of(module: Path) -> list[str]:
    """The mirrored test first, then the folder's, then those beside."""
    folder = Path("tests") / module.parent
    own = folder / f"test_{module.stem}.py"
    found = [str(own)] if (ROOT / own).exists() else []
    return [*found, str(folder), *BESIDE.get(module.parent.as_posix(), [])]


def survives(mutant: Mutant, tree: Path) -> bool:
    """Whether all tests pass with it; the tree is left as it was."""
    file = tree / mutant.module
    original = file.read_text()
    file.write_text(mutant.source)
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-m", "not triton and not slow",
               "-p", "no:randomly", "-p", "no:cacheprovider", *tests_of(mutant.module)]  # fmt: skip
    try:
        run = subprocess.run(
            command, cwd=tree, capture_output=True, timeout=LONGEST_SECONDS, check=False,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        return run.returncode == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        file.write_text(original)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the survivors and the share that was noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("places", nargs="+", type=Path, help="modules or folders, from the root")
    parser.add_argument("--share", type=float, default=1.0, help="of all mutants")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args(arguments)
    modules = [
        path
        for place in options.places
        for path in sorted([place] if place.suffix else (ROOT / place).glob("*.py"))
        if path.stem != "__init__"
    ]
    draw = random.Random(options.seed)  # noqa: S311  # the same at every run
    chosen = [
        mutant
        for module in modules
        for mutant in mutants(module.relative_to(ROOT) if module.is_absolute() else module)
        if draw.random() < options.share
    ]
    trees: SimpleQueue[Path] = SimpleQueue()
    noticed: Counter[str] = Counter()
    made: Counter[str] = Counter()

    def try_one(mutant: Mutant) -> None:
        tree = trees.get()
        alive = survives(mutant, tree)
        trees.put(tree)
        made[str(mutant.module)] += 1
        noticed[str(mutant.module)] += not alive
        if alive:
            print(f"SURVIVED {mutant.module}:{mutant.line} {mutant.change}", flush=True)

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        for number in range(options.jobs):
            trees.put(Path(shutil.copytree(ROOT, Path(folder, str(number)), ignore=LEFT_OUT)))
        list(pool.map(try_one, chosen))
    for module in sorted(made):
        print(f"{module}: {noticed[module]} of {made[module]} noticed")
    share = noticed.total() / max(made.total(), 1)
    print(f"{noticed.total()} of {made.total()} noticed, {share:.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
