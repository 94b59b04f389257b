"""Settings of the commands that send: options, variables `IDEOGRAM_*`, and the proxy of the environment."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, TypeAlias
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from attrs import frozen
from cyclopts import Group, Parameter, Token

from ideogram_async import Ideogram, Retry, Timeout
from ideogram_async._client import SERVICE
from ideogram_async._download.hosts import is_loopback, is_loopback_name
from ideogram_async._pipeline.settings import expected_proxy, is_proxy
from ideogram_async._redaction import mask_user
from ideogram_async.cli.errors import UsageError
from ideogram_async.cli.log import log_event
from ideogram_async.events import Event

PREFIX = "IDEOGRAM_"
GET_KEY = "get a key at https://ideogram.ai/manage-api"
NO_KEY = f"No API key. Set IDEOGRAM_API_KEY; {GET_KEY}."
WITHOUT_KEY = "To try it without a key: ideogram-async demo, or batch run with --sandbox"
NO_PROXY = "none"
MAX_IN_FLIGHT = 10
FLAGS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
GROUP = Group("Settings", sort_key=90)
Parser: TypeAlias = Callable[[str], object]
Listener: TypeAlias = Callable[[Event], None]


def setting(name: str, parse: Parser) -> Parameter:
    """Return the parameter of an option that is also read from a variable. An empty variable counts as not set.

    Args:
        name: The name of the variable without its prefix.
        parse: Converts the text, or raises `ValueError` with what is expected.
    """

    def convert(_: object, tokens: Sequence[Token]) -> object:
        text = tokens[0].value.strip()
        return None if not text and tokens[0].source != "cli" else parse(text)

    return Parameter(env_var=PREFIX + name, converter=convert, n_tokens=1, show_default=False)


def whole_number(minimum: int) -> Parser:
    """Return a parser of whole numbers."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1

        if value < minimum:
            raise ValueError(f"{_shorten(text)} is not a whole number of at least {minimum}")

        return value

    return parse


def parse_seconds(text: str) -> float:
    """Parse a positive number of seconds."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan

    if not 0 < seconds < math.inf:
        raise ValueError(f"{_shorten(text)} is not a number of seconds above 0, such as 300")

    return seconds


def parse_proxy(text: str) -> str:
    """Parse the URL of a proxy, or `none`. Messages do not contain its user and password."""
    if text.casefold() == NO_PROXY:
        return NO_PROXY

    if not is_proxy(text):
        raise ValueError(f"{_shorten(mask_user(text))} is not {expected_proxy(text)}")

    return text


@Parameter(name="*", group=GROUP)
@frozen(kw_only=True)
class Settings:
    """Settings of a command that sends."""

    max_in_flight: Annotated[int | None, setting("MAX_IN_FLIGHT", whole_number(1))] = None
    """Maximum number of images in progress, as the account allows; default 10."""
    timeout: Annotated[float | None, setting("TIMEOUT", parse_seconds)] = None
    """Seconds for one attempt; default 300."""
    retries: Annotated[int | None, setting("RETRIES", whole_number(0))] = None
    """Number of retries, with back-off; default 4. A call that may have been billed is not retried."""
    proxy: Annotated[str | None, setting("PROXY", parse_proxy)] = None
    """URL of an HTTP proxy, or `none`; default `HTTPS_PROXY`, unless `NO_PROXY` lists the host."""
    verbose: Annotated[bool, Parameter(name=["--verbose", "-v"], negative=(), show_default=False)] = False
    """Log each attempt, wait and retry to the error stream. [env var: IDEOGRAM_VERBOSE]"""
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative=(), show_default=False)] = False
    """Print only results, warnings and errors. [env var: IDEOGRAM_QUIET]"""

    def __attrs_post_init__(self) -> None:
        if self.verbose and self.quiet:
            raise UsageError("--verbose and --quiet cannot be combined.", "Pass one of them.")

    @property
    def is_verbose(self) -> bool:
        """Return whether to log what is sent."""
        return self.verbose or (not self.quiet and _flag("VERBOSE"))

    @property
    def is_quiet(self) -> bool:
        """Return whether to print results and errors only."""
        return self.quiet or (not self.is_verbose and _flag("QUIET"))

    def client(self, *, api_key: str | None = None, base_url: str | None = None, as_json: bool = False) -> Ideogram:
        """Return a client; without arguments it reads the key and the URL from the environment.

        Raises:
            UsageError: If an environment variable is invalid.
        """
        proxy, _ = self.find_proxy(base_url)
        try:
            return Ideogram(
                api_key,
                base_url=base_url,
                max_in_flight=self.max_in_flight or MAX_IN_FLIGHT,
                timeout=self.timeout,
                retry=Retry() if self.retries is None else Retry(attempts=self.retries + 1),
                proxy=proxy,
                on_event=self.listener(as_json=as_json),
            )
        except (TypeError, ValueError) as error:
            message = str(error)
            if "base_url" in message:
                url = _shorten(mask_user(os.environ.get("IDEOGRAM_BASE_URL", "")))
                message = f"{message.replace('base_url', 'IDEOGRAM_BASE_URL')}, not {url}"

            message = message.replace("the API key", "IDEOGRAM_API_KEY")

            raise UsageError(f"Invalid environment variable: {message}", "Correct it, or unset it.") from None

    def find_proxy(self, base_url: str | None = None) -> tuple[str | None, str]:
        """Return the proxy for a service, and its source. This machine is never reached through a proxy.

        Raises:
            UsageError: If a variable is not the URL of a proxy.
        """
        parts = _split(base_url or os.environ.get("IDEOGRAM_BASE_URL") or SERVICE)
        host = parts[1]
        if is_loopback(host) or is_loopback_name(host):
            return None, "this machine is reached directly"

        if self.proxy is not None:
            return (None if self.proxy == NO_PROXY else self.proxy), _source_of("proxy", self.proxy, parse_proxy)

        return _environment_proxy(*parts)

    def effective(self) -> Iterator[tuple[str, object, str]]:
        """Yield each setting except the proxy: its name, the value that applies, and its source.

        Raises:
            UsageError: If a variable is not 1 or 0.
        """
        url = os.environ.get("IDEOGRAM_BASE_URL")
        yield "base-url", mask_user(url or SERVICE), "IDEOGRAM_BASE_URL" if url else "default"
        for name, (parse, default) in DEFAULTS.items():
            value = getattr(self, name)
            yield name.replace("_", "-"), default if value is None else value, _source_of(name, value, parse)

        for name, is_on in (("verbose", self.is_verbose), ("quiet", self.is_quiet)):
            variable = PREFIX + name.upper() if is_on else "default"
            yield name, is_on, f"--{name}" if getattr(self, name) else variable

    def listener(self, other: Listener | None = None, *, as_json: bool = False) -> Listener | None:
        """Return the listener of a client: a log with `-v`, and another listener after it."""
        if not self.is_verbose:
            return other

        def listen(event: Event) -> None:
            log_event(event, as_json=as_json)
            if other is not None:
                other(event)

        return listen


@Parameter(name="*", group=GROUP)
@frozen(kw_only=True)
class WaitSettings(Settings):
    """Settings of a command whose own `--timeout` bounds the whole wait."""

    timeout: Annotated[None, Parameter(parse=False)] = None


def has_key() -> bool:
    """Return whether the environment contains an API key."""
    return bool(os.environ.get("IDEOGRAM_API_KEY", "").strip())


def require_key() -> None:
    """Check that there is an API key: the last check of a command that sends, after those of its input.

    Raises:
        UsageError: If there is none.
    """
    if not has_key():
        raise UsageError(NO_KEY, WITHOUT_KEY)


DEFAULTS: Mapping[str, tuple[Parser, object]] = {
    "max_in_flight": (whole_number(1), MAX_IN_FLIGHT),
    "timeout": (parse_seconds, Timeout().total),
    "retries": (whole_number(0), Retry().attempts - 1),
}
DEFAULT_SETTINGS = Settings()
DEFAULT_WAIT_SETTINGS = WaitSettings()


def _source_of(name: str, value: object, parse: Parser) -> str:
    """Return the source of an option's value: its variable, if that has the same value."""
    if value is None:
        return "default"

    variable = PREFIX + name.upper()
    text = os.environ.get(variable, "").strip()
    try:
        is_variable = bool(text) and parse(text) == value
    except ValueError:
        is_variable = False

    return variable if is_variable else f"--{name.replace('_', '-')}"


def _environment_proxy(scheme: str, host: str, address: str) -> tuple[str | None, str]:
    text = getproxies_environment().get(scheme, "").strip()
    if not text:
        return None, "default"

    # As in curl and urllib, the name in lower case wins.
    names = (name for name, value in os.environ.items() if name.lower() == f"{scheme}_proxy" and value)
    variable = max(names, key=str.islower)
    if proxy_bypass(address):
        return None, f"{variable} is set, and NO_PROXY lists {host}"

    try:
        # As in curl, a proxy of the environment without a scheme is http.
        return parse_proxy(text if "://" in text else f"http://{text}"), variable
    except ValueError as error:
        raise UsageError(f"Invalid value for {variable}: {error}.", "Correct it, unset it, or pass --proxy.") from None


def _split(url: str) -> tuple[str, str, str]:
    """Return the scheme, the host, and the host with its port. A URL that is invalid is refused by the client."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        return parts.scheme, host, f"{host}:{parts.port}" if parts.port else host
    except ValueError:
        return "https", "", ""


def _flag(name: str) -> bool:
    text = os.environ.get(PREFIX + name, "").strip()
    value = FLAGS.get(text.casefold(), None if text else False)
    if value is None:
        raise UsageError(
            f"Invalid value for {PREFIX}{name}: {_shorten(text)} is not 1 or 0.", "Correct it, or unset it."
        )

    return value


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:59]}…")
