"""Command tree. cyclopts imports a command when it is used."""

from __future__ import annotations

from cyclopts import (
    App,
    Argument,
    CycloptsError,
    Group,
    MissingArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from ideogram_async._names import same_meaning
from ideogram_async._version import __version__
from ideogram_async.cli.batch.commands import COMMANDS, make_batch_app
from ideogram_async.cli.catalog import SECOND_CONTRACT, first_commands
from ideogram_async.cli.errors import UsageError, print_bug, print_error, print_ideogram_error
from ideogram_async.cli.examples import epilogue
from ideogram_async.cli.exit_codes import Exit
from ideogram_async.cli.help import HelpFormatter
from ideogram_async.cli.ledger.commands import make_ledger_app
from ideogram_async.cli.log import print_warnings
from ideogram_async.errors import Billed, IdeogramError

HELP = """Ideogram's image API from the command line. Nothing is paid twice by accident.

Set `IDEOGRAM_API_KEY` to an API key from https://ideogram.ai/manage-api. `demo` and `batch run --sandbox` need none."""

BATCHES = Group("Batches, ledgers and prices", sort_key=0)
CURRENT = Group("Operations", sort_key=1)
TRAINING = Group("Training", sort_key=2)
LEGACY = Group("Operations of older models", sort_key=3)
TOOLS = Group("Tools", sort_key=4)
ABOUT = Group("About", sort_key=5)
GROUPS = {"datasets": "Datasets to train on.", "models": "Custom models."}
SECOND = "Operations of the second contract: Ideogram 4, 4.5 and 4.6, and those of Ideogram 3 in it."
ACCOUNT = "The account of the API key."

WAIT = """Wait until the training of a model has finished. Costs nothing.

Exits with 0 once it is trained, and with 1 if the training failed or takes longer than `--timeout`. Ctrl-C ends the
wait, not the training."""

WAIT_FOR_GENERATION = """Wait until a generation has finished, and save its images. Costs nothing.

`--submit` prints the id. Ctrl-C ends the wait, not the generation; the same command waits again."""

ESTIMATE = "Estimate a price from a dated table. Sends nothing."
VALUES = """List the values that an option accepts, one per line. Sends nothing.

For a value newer than this program, pass `unchecked:VALUE` to the option; it is sent unchanged."""

DOCTOR = """Check the API key, proxy, host, clock and disk, and list the settings with their sources.

Costs nothing, and shows no key."""
COMPLETION = """Complete commands, options and values with Tab, in bash, zsh or fish.

Writes a script into the home folder, and for bash and zsh a line that loads it into `.bashrc` or `.zshrc`."""
DEMO = "Make some images with a sandbox; costs nothing."
SANDBOX = "Serve a sandbox until Ctrl-C: a local server that behaves and bills like the service, and costs nothing."
SKILL = "Print the skill for coding agents: how to use this package without paying twice."


LAZY = "ideogram_async.cli.second"
"""Module of the groups that few commands need."""


def run(argv: list[str]) -> int:
    """Run a command, print its error if it fails, and return the exit code."""
    as_json = "--json" in argv
    try:
        with print_warnings(as_json=as_json):
            code = make_app()(argv, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        help_command = " ".join(["ideogram-async", *(error.command_chain or ()), "--help"])
        print_error(_usage_message(error), f"{_dash_advice(error)}See: {help_command}", as_json=as_json)
        return Exit.USAGE
    except UsageError as error:
        print_error(str(error), error.advice, as_json=as_json)
        return Exit.USAGE
    except IdeogramError as error:
        return print_ideogram_error(error, as_json=as_json)
    except KeyboardInterrupt:
        print_error("Interrupted.", "Nothing was sent.", as_json=as_json, name="Interrupted")
        return Exit.INTERRUPTED
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
        help_epilogue=epilogue(""),
        version=__version__,
        suppress_keyboard_interrupt=False,
        help_formatter=HelpFormatter(),
    )
    app.command(
        "ideogram_async.cli.completion:install_completion",
        name="--install-completion",
        help=COMPLETION,
        help_epilogue=epilogue("--install-completion"),
        group=ABOUT,
    )
    # Below the commands, which users look for.
    app["--help"].group = app["--version"].group = ABOUT
    app.command(make_batch_app(BATCHES))
    app.command(make_ledger_app(BATCHES))
    _add_operations(app)
    _add_estimates(app)
    app.command("ideogram_async.cli.tools:values", group=TOOLS, help=VALUES, help_epilogue=epilogue("values"))
    app.command("ideogram_async.cli.doctor:doctor", group=TOOLS, help=DOCTOR, help_epilogue=epilogue("doctor"))
    # These parse their own options, also --help.
    app.command("ideogram_async.cli.tools:demo", group=TOOLS, help=DEMO, help_flags=(), version_flags=())
    app.command("ideogram_async.cli.tools:sandbox", group=TOOLS, help=SANDBOX, help_flags=(), version_flags=())
    app.command("ideogram_async.cli.tools:skill", group=TOOLS, help=SKILL, help_flags=(), version_flags=())

    return app


def _add_operations(app: App) -> None:
    groups = {
        name: App(name=name, help=text, group=TRAINING, help_epilogue=epilogue(name)) for name, text in GROUPS.items()
    }
    for command in first_commands():
        path, end = f"ideogram_async.cli.call:{command.attribute}", epilogue(command.full_name)
        if command.group:
            groups[command.group].command(path, name=command.name, help=command.help, help_epilogue=end)
        else:
            section = LEGACY if command.name.startswith("legacy-") else CURRENT
            app.command(path, name=command.name, help=command.help, help_epilogue=end, group=section)

    groups["models"].command("ideogram_async.cli.tools:wait", help=WAIT, help_epilogue=epilogue("models wait"))
    for group in groups.values():
        app.command(group)

    app.command(f"{LAZY}:{SECOND_CONTRACT}", name=SECOND_CONTRACT, help=SECOND, group=CURRENT)
    app.command(
        "ideogram_async.cli.wait:wait",
        name="wait",
        help=WAIT_FOR_GENERATION,
        help_epilogue=epilogue("wait"),
        group=CURRENT,
    )
    app.command(f"{LAZY}:account", name="account", help=ACCOUNT, group=TOOLS)


def _add_estimates(app: App) -> None:
    estimate = App(name="estimate", help=ESTIMATE, help_epilogue=epilogue("estimate"), group=BATCHES)
    for command in first_commands():
        if command.endpoint.charged and not command.group:
            path = f"ideogram_async.cli.tools:{command.attribute}"
            end = epilogue(f"estimate {command.name}")
            estimate.command(path, name=command.name, help=command.estimate_help, help_epilogue=end)

    estimate.command(f"{LAZY}:estimate", name=SECOND_CONTRACT, help=SECOND)
    app.command(estimate)


def _dash_advice(error: CycloptsError) -> str:
    is_option = isinstance(error, UnknownOptionError)
    return "If it is not an option, put -- before it. " if is_option else ""


def _usage_message(error: CycloptsError) -> str:
    match error:
        case UnusedCliTokensError(unused_tokens=[*tokens]):
            return f"Unexpected arguments: {', '.join(map(repr, tokens))}. Put quotes around a text with spaces."
        case UnknownCommandError(unused_tokens=[name, *_]) if not error.command_chain and name in COMMANDS:
            return f'Unknown command "{name}". Did you mean "batch {name}"?'
        case MissingArgumentError(argument=Argument() as argument, keyword=None, unused_tokens=None | []):
            name = argument.name.lstrip("-").upper() if argument.field_info.is_positional else argument.name
            return f"{name} is missing."
        case UnknownOptionError():
            return _option_message(error)
        case _:
            return str(error)


def _option_message(error: UnknownOptionError) -> str:
    """Return the message with the options that mean what other programs call by this name, such as `--size`."""
    name = error.token.keyword or error.token.value
    known = {
        option.removeprefix("--").replace("-", "_"): option for a in error.argument_collection for option in a.names
    }
    names = [known[each] for each in same_meaning(name.lstrip("-").replace("-", "_"), known)]
    return f"Unknown option: {name}. Did you mean {' or '.join(names)}?" if names else str(error)
