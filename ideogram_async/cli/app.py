"""Command tree. cyclopts imports a command when it is used."""

from __future__ import annotations

from cyclopts import App, CycloptsError, Group, UnusedCliTokensError

from ideogram_async._version import __version__
from ideogram_async.cli.batch import make_batch_app
from ideogram_async.cli.catalog import commands
from ideogram_async.cli.console import Exit
from ideogram_async.cli.errors import UsageError, print_bug, print_error, print_ideogram_error
from ideogram_async.errors import Billed, IdeogramError

HELP = """Ideogram's image API from the command line. Nothing is paid twice by accident.

`IDEOGRAM_API_KEY` is the API key; `batch run FILE FOLDER --sandbox` and `demo` need none. `IDEOGRAM_TIMEOUT` is the
timeout of one attempt in seconds (300), `IDEOGRAM_BASE_URL` another address of the service. For a value newer than
this program, pass `unchecked:VALUE`; it is sent unchanged."""

EXIT_CODES = """Exit codes:

- `0` success
- `1` some jobs failed, or images were withheld or lost
- `2` usage error; nothing was spent
- `3` some outcomes are unknown and may have been billed; see `batch resolve`
- `4` batch stopped early; run the same command to resume
- `130` interrupted; a batch only by the second Ctrl-C"""

BATCHES = Group("Batches and prices", sort_key=0)
CURRENT = Group("Operations", sort_key=1)
TRAINING = Group("Training", sort_key=2)
LEGACY = Group("Operations of older models", sort_key=3)
TOOLS = Group("Tools", sort_key=4)
ABOUT = Group("About", sort_key=5)
GROUPS = {"datasets": "Datasets to train on.", "models": "Custom models."}

WAIT = """Wait until the training of a model has finished. Costs nothing.

Exits with 0 once it is trained, and with 1 if the training failed or takes longer than `--timeout`. Ctrl-C ends the
wait, not the training."""

DOCTOR = "Check the API key, host, clock and disk. Costs nothing, and shows no key."
DEMO = "Make some images with a sandbox; costs nothing."
SANDBOX = "Serve a sandbox until Ctrl-C: a local server that behaves and bills like the service, and costs nothing."


def run(argv: list[str]) -> int:
    """Run a command, print its error if it fails, and return the exit code."""
    as_json = "--json" in argv
    try:
        code = make_app()(argv, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        help_command = " ".join(["ideogram-async", *(error.command_chain or ()), "--help"])
        print_error(_usage_message(error), f"See: {help_command}", as_json=as_json)
        return Exit.USAGE
    except UsageError as error:
        print_error(str(error), error.advice, as_json=as_json)
        return Exit.USAGE
    except IdeogramError as error:
        return print_ideogram_error(error, as_json=as_json)
    except KeyboardInterrupt:
        print_error("Interrupted.", "Nothing was sent.", as_json=as_json, name="Interrupted")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        raise
    except OSError as error:
        message = f"{error.filename or 'The system'}: {error.strerror or error}"
        print_error(message, "", as_json=as_json, name=type(error).__name__, billed=Billed.UNKNOWN)
        return Exit.FAILED
    except Exception as error:
        return print_bug(error, as_json=as_json)

    return int(code or Exit.OK)


def make_app() -> App:
    """Return the command tree. Help texts are set here, so that listing a command does not import it."""
    app = App(
        name="ideogram-async",
        help=HELP,
        help_epilogue=EXIT_CODES,
        version=__version__,
        suppress_keyboard_interrupt=False,
    )
    # Below the commands, which users look for.
    app["--help"].group = app["--version"].group = ABOUT
    app.command(make_batch_app(BATCHES))
    _add_operations(app)
    _add_estimates(app)
    app.command("ideogram_async.cli.doctor:doctor", group=TOOLS, help=DOCTOR)
    # These two parse their own options, also --help.
    app.command("ideogram_async.cli.tools:demo", group=TOOLS, help=DEMO, help_flags=(), version_flags=())
    app.command("ideogram_async.cli.tools:sandbox", group=TOOLS, help=SANDBOX, help_flags=(), version_flags=())

    return app


def _add_operations(app: App) -> None:
    groups = {name: App(name=name, help=text, group=TRAINING) for name, text in GROUPS.items()}
    for command in commands():
        path = f"ideogram_async.cli.call:{command.attribute}"
        if command.group:
            groups[command.group].command(path, name=command.name, help=command.help)
        else:
            section = LEGACY if command.name.startswith("legacy-") else CURRENT
            app.command(path, name=command.name, help=command.help, group=section)

    groups["models"].command("ideogram_async.cli.tools:wait", help=WAIT)
    for group in groups.values():
        app.command(group)


def _add_estimates(app: App) -> None:
    estimate = App(name="estimate", help="Estimate a price from a dated table. Sends nothing.", group=BATCHES)
    for command in commands():
        if command.endpoint.charged and not command.group:
            path = f"ideogram_async.cli.tools:{command.attribute}"
            estimate.command(path, name=command.name, help=command.estimate_help)

    app.command(estimate)


def _usage_message(error: CycloptsError) -> str:
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return f"Unexpected arguments: {', '.join(map(repr, error.unused_tokens))}."

    return str(error)
