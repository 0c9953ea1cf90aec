"""One family of errors with one grammar, read from the sources."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import memcore
from memcore import errors

ROOT = Path(__file__).parents[1]
FAMILY = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.MemcoreError | errors.MemcoreWarning)
}
#: What Python itself asks for, and where.
PROTOCOLS = {
    "NotImplementedError": "a method that a plugin may leave out, or that a contract leaves open",
    "AttributeError": "`__getattr__` of a module",
    "KeyError": "`__getitem__` of a mapping",
    "AssertionError": "a check of the conformance kit that fails",
    "SystemExit": "the exit status of a command",
    "click.UsageError": "options of a command that exclude each other",
}


@functools.cache
def sources() -> tuple[tuple[str, ast.Module], ...]:
    folders = ("memcore", "plugins/memcore_plugins", "plugins/example/src")
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    names = (path.relative_to(ROOT).as_posix() for path in paths)
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in paths)
    return tuple(zip(names, trees, strict=True))


def is_kept(exception: ast.expr) -> bool:
    """Whether it is an exception that came before, under a name."""
    return isinstance(exception, ast.Name) and exception.id.islower()


def raised(tree: ast.Module) -> Iterator[tuple[int, ast.expr, str]]:
    """The line, the exception and the name of its class of each raise that makes a new one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and node.exc is not None and not is_kept(node.exc):
            made = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            yield node.lineno, node.exc, ast.unparse(made)


def said(exception: ast.expr) -> str:
    """The text of a message, "?" for what is put into it."""
    if not isinstance(exception, ast.Call) or not exception.args:
        return ""
    message = exception.args[0]
    if isinstance(message, ast.Constant) and isinstance(message.value, str):
        return message.value
    if not isinstance(message, ast.JoinedStr):
        return ""
    return "".join(
        str(part.value) if isinstance(part, ast.Constant) else "?" for part in message.values
    )


@functools.cache
def messages() -> tuple[tuple[str, str], ...]:
    """Where errors are raised, and what they say; read when a test asks."""
    return tuple(
        (f"{file}:{line}", said(exception))
        for file, tree in sources()
        for line, exception, _ in raised(tree)
    )


def test_every_error_on_purpose_is_of_the_family():
    strangers = [
        f"{file}:{line}: {name}"
        for file, tree in sources()
        for line, _, name in raised(tree)
        if name not in FAMILY and name not in PROTOCOLS
    ]
    assert strangers == []


def test_the_family_is_defined_in_one_place():
    elsewhere = [
        f"{file}: {node.name}"
        for file, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and file != "memcore/errors.py"
        and any(ast.unparse(base) in {*FAMILY, "Exception", "Warning"} for base in node.bases)
    ]
    assert elsewhere == []


@pytest.mark.parametrize("name", FAMILY)
def test_every_error_is_public_and_says_what_it_means(name):
    assert getattr(memcore, name) is FAMILY[name]
    assert name in memcore.__all__
    assert FAMILY[name].__doc__


def test_messages_say_what_was_expected_after_a_semicolon():
    wrong = [f"{where}: {text}" for where, text in messages() if re.search("[,:] expected ", text)]
    assert wrong == []


def test_messages_start_in_lower_case_and_end_without_a_full_stop():
    classes = {
        node.name
        for _, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    first = {text: re.split(r"\W", text, maxsplit=1)[0] for _, text in messages()}
    wrong = [
        f"{where}: {text}"
        for where, text in messages()
        if re.search(r"(?<!\.)\.$", text) or (first[text].istitle() and first[text] not in classes)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("wrong", "also"),
    [
        (lambda: memcore.Wires(word_line=-1), ValueError),
        (lambda: memcore.Wires(word_line="1"), TypeError),
        (lambda: memcore.Wires(drive="top"), ValueError),
        (lambda: memcore.effective_conductance([[1.0]], memcore.Wires()), TypeError),
        (lambda: memcore.Lookup(*map(memcore.Stream(0).normal, ((2,), (2,)))), ValueError),
        (lambda: memcore.Normal(1.0, 0.1) + 1, TypeError),
        (lambda: memcore.testing.checks_for(3), TypeError),
        (lambda: memcore.Stream("0"), ValueError),
        (lambda: memcore.stimuli.sine(1.0, -1.0, dt=0.1), ValueError),
    ],
)
def test_a_mistake_is_caught_as_memcores_and_as_pythons(wrong, also):
    for kind in (memcore.MemcoreError, also):
        with pytest.raises(kind):
            list(wrong())
