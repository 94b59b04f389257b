"""All commands, and how the first word finds its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from inspect import Parameter as Option
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Group, Parameter

from ideogram_async._version import __version__
from ideogram_async.cli import batches, doctor, local
from ideogram_async.cli.call import send
from ideogram_async.cli.estimate import estimate
from ideogram_async.cli.exits import Exit, of_error
from ideogram_async.cli.operations import Named, operations
from ideogram_async.cli.options import FOR_MACHINES, OUTPUT, command_of
from ideogram_async.cli.say import UsageError, say_error, say_usage
from ideogram_async.errors import IdeogramError

__all__ = ["run"]

WORDS = """Ideogram's image API from the command line. Nothing is paid twice by accident.

The key comes from IDEOGRAM_API_KEY. `batch run FILE FOLDER --sandbox` and `demo` need none."""
ENDING = """Exit codes: 0 all is well · 1 some failed or were withheld · 2 wrong usage, nothing spent · \
3 something may have been paid for · 4 stopped early, the same command goes on · 130 interrupted twice"""
JSON = Option(
    "json",
    Option.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[bool, Parameter(help=FOR_MACHINES, negative=(), group=OUTPUT, show_default=False)],
)
FOLDER = Option(
    "output",
    Option.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        Path | None,
        Parameter(
            name=["--output", "-o"], help="The folder for the images; without it their links are shown.", group=OUTPUT
        ),
    ],
)
CURRENT = Group("Operations", sort_key=1)
TRAINING = Group("Training", sort_key=2)
LEGACY = Group("Operations of older models", sort_key=3)
TOOLS = Group("Tools", sort_key=4)
GROUPS = {"datasets": "Sets of images to train on.", "models": "Custom models."}


def run(argv: list[str]) -> int:
    """Do what the words say; return the exit code. Whatever goes wrong is told in words."""
    as_json = "--json" in argv
    try:
        code = make_app(argv)(argv, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        say_usage(f"{error}\nTry: ideogram-async {_near(argv)}--help", as_json=as_json)
        return Exit.USAGE
    except UsageError as error:
        say_usage(str(error), as_json=as_json)
        return Exit.USAGE
    except IdeogramError as error:
        say_error(error, as_json=as_json)
        return of_error(error)
    except BrokenPipeError:
        raise
    except OSError as error:
        say_usage(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), as_json=as_json)
        return Exit.FAILED

    except Exception as error:
        say_usage(f"{type(error).__name__}: {error}\nThis is a fault of the program itself.", as_json=as_json)
        return Exit.FAILED

    return int(code or Exit.OK)


def make_app(argv: list[str]) -> App:
    """Make the app. Only the operations that the words may mean get their options, for that takes a while."""
    app = App(name="ideogram-async", help=WORDS, help_epilogue=ENDING, version=__version__)
    many = Group("Many images, and their price", sort_key=0)
    priced = App(name="estimate", help="Say what an operation will cost, by a dated table. Sends nothing.", group=many)
    app.command(batches.app(many))
    app.command(priced)
    groups = {"": app} | {name: App(name=name, help=words, group=TRAINING) for name, words in GROUPS.items()}
    for named in operations():
        is_asked = named.name in argv
        options = [FOLDER, JSON] if named.makes_images else [JSON]
        target = groups[named.group]
        section: dict[str, Any] = {"group": LEGACY if named.is_legacy else CURRENT} if target is app else {}
        target.command(_command(named, send, options, is_asked=is_asked), name=named.name, **section)
        if named.request.endpoint.charged and target is app:
            priced.command(_command(named, estimate, [JSON], is_asked=is_asked), name=named.name)

    for name in GROUPS:
        app.command(groups[name])

    app.command(doctor.doctor, group=TOOLS)
    for command in (local.demo, local.sandbox):
        # Their options are their own, help included.
        app.command(App(name=command.__name__, default_command=command, help_flags=(), version_flags=(), group=TOOLS))

    return app


def _command(named: Named, act: Callable[..., int], more: list[Option], *, is_asked: bool) -> Callable[..., Any]:
    if is_asked:
        return command_of(named.request, named.words, act, more)

    def unasked() -> None: ...

    unasked.__doc__ = named.words
    return unasked


def _near(argv: list[str]) -> str:
    """Name the command whose help may say more."""
    known = {named.name for named in operations()} | {*GROUPS, "batch", "estimate", "doctor"}
    words = []
    for word in argv[:2]:
        if word not in known and word not in batches.NAMES:
            break

        words.append(f"{word} ")

    return "".join(words)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
