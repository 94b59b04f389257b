"""All commands, and how the first word finds its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from inspect import Parameter as Option
from typing import Any

from cyclopts import App, CycloptsError, Group, UnusedCliTokensError

from ideogram_async._version import __version__
from ideogram_async.cli import batch, doctor, tools
from ideogram_async.cli.call import send
from ideogram_async.cli.catalog import Named, operations
from ideogram_async.cli.console import Exit, of_error
from ideogram_async.cli.errors import UsageError, say_error, say_trouble
from ideogram_async.cli.options import FOLDER, JSON, command_of
from ideogram_async.cli.tools import estimate, wait
from ideogram_async.errors import Billed, IdeogramError

WORDS = """Ideogram's image API from the command line. Nothing is paid twice by accident.

The key comes from `IDEOGRAM_API_KEY`; `batch run FILE FOLDER --sandbox` and `demo` need none. `IDEOGRAM_TIMEOUT` sets
the seconds that one attempt may take (300), `IDEOGRAM_BASE_URL` another address of the service. A word that is newer
than this program is written `unchecked:WORD`, and sent as it is."""

ENDING = """Exit codes:

- `0` all is well
- `1` some jobs failed, or images were withheld or lost
- `2` the command makes no sense; nothing was spent on it
- `3` something may have been paid for, and is yours to decide
- `4` a batch stopped early; the same command goes on
- `130` interrupted; a batch only by the second Ctrl-C"""

CURRENT = Group("Operations", sort_key=1)

TRAINING = Group("Training", sort_key=2)

LEGACY = Group("Operations of older models", sort_key=3)

TOOLS = Group("Tools", sort_key=4)

ABOUT = Group("About", sort_key=5)

GROUPS = {"datasets": "Sets of images to train on.", "models": "Custom models."}


def run(argv: list[str]) -> int:
    """Do what the words say; return the exit code. Whatever goes wrong is told in words."""
    as_json = "--json" in argv
    try:
        code = make_app(argv)(argv, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        say_trouble(_misunderstood(error), f"See: ideogram-async {_near(argv)}--help", as_json=as_json)
        return Exit.USAGE
    except UsageError as error:
        say_trouble(str(error), error.advice, as_json=as_json)
        return Exit.USAGE
    except IdeogramError as error:
        say_error(error, as_json=as_json)
        return of_error(error)
    except KeyboardInterrupt:
        say_trouble("Interrupted.", "Nothing was sent.", as_json=as_json, name="Interrupted")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:
        return _say_fault(error, as_json=as_json)

    return int(code or Exit.OK)


def _misunderstood(error: CycloptsError) -> str:
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return f"There is no place for {', '.join(map(repr, error.unused_tokens))}."

    return str(error)


def _say_fault(error: Exception, *, as_json: bool) -> Exit:
    """Say what nobody has foreseen: what it left behind cannot be known here."""
    if isinstance(error, OSError):
        message, advice = f"{error.filename or 'The system'}: {error.strerror or error}", ""
    else:
        message, advice = f"{type(error).__name__}: {error}", "This is a fault of the program itself; please report it."

    say_trouble(message, advice, as_json=as_json, name=type(error).__name__, billed=Billed.UNKNOWN)
    return Exit.FAILED


def make_app(argv: list[str]) -> App:
    """Make the app. Only the operations that the words may mean get their options, for that takes a while."""
    app = App(
        name="ideogram-async",
        help=WORDS,
        help_epilogue=ENDING,
        version=__version__,
        suppress_keyboard_interrupt=False,
    )
    # Not among the commands that people look for.
    app["--help"].group = app["--version"].group = ABOUT
    _add_batches(app, argv)
    _add_operations(app, argv)
    app.command(doctor.doctor, group=TOOLS)
    for command in (tools.demo, tools.sandbox):
        # Their options are their own, help included.
        app.command(App(name=command.__name__, default_command=command, help_flags=(), version_flags=(), group=TOOLS))

    return app


def _add_operations(app: App, argv: list[str]) -> None:
    groups = {"": app} | {name: App(name=name, help=words, group=TRAINING) for name, words in GROUPS.items()}
    for named in operations():
        options = [FOLDER, JSON] if named.makes_images else [JSON]
        target = groups[named.group]
        section: dict[str, Any] = {"group": LEGACY if named.is_legacy else CURRENT} if target is app else {}
        target.command(_command(named, named.words, send, options, argv), name=named.name, **section)

    groups["models"].command(wait)
    for name in GROUPS:
        app.command(groups[name])


def _add_batches(app: App, argv: list[str]) -> None:
    many = Group("Many images, and their price", sort_key=0)
    priced = App(name="estimate", help="Say what an operation will cost, by a dated table. Sends nothing.", group=many)
    app.command(batch.app(many))
    app.command(priced)
    for named in operations():
        if named.request.endpoint.charged and not named.group:
            words = f"Say what `{named.name}` will cost, by a dated table. Sends nothing."
            priced.command(_command(named, words, estimate, [JSON], argv), name=named.name)


def _command(
    named: Named, words: str, act: Callable[..., int], more: list[Option], argv: list[str]
) -> Callable[..., Any]:
    if named.name in argv:
        return command_of(named.request, words, act, more)

    def unasked() -> None: ...

    unasked.__doc__ = words
    return unasked


def _near(argv: list[str]) -> str:
    """Name the command whose help may say more."""
    known = {named.name for named in operations()} | {*GROUPS, "batch", "estimate", "doctor", "wait"}
    words = []
    for word in argv[:2]:
        if word not in known and word not in batch.NAMES:
            break

        words.append(f"{word} ")

    return "".join(words)


NEEDED = ("cyclopts", "rich")

USAGE = 2

BROKEN_PIPE = 1

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code.

    Args:
        argv: The words behind the program's name; those of the process if not given.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"The command line needs {' and '.join(missing)}: pip install 'ideogram-async[cli]'\n"
            "Without them there are: python -m ideogram_async demo, python -m ideogram_async sandbox\n"
        )
        return USAGE

    try:
        code = run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has left; Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        # Before there was anything to tell, or while it was being told.
        return INTERRUPTED

    return code


if __name__ == "__main__":
    sys.exit(main())
