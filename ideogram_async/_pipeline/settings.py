"""Settings of a client and of its views, checked where they are passed."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

from attrs import field, frozen
from yarl import URL

from ideogram_async._download import hosts
from ideogram_async._download.hosts import Hosts
from ideogram_async._ledger.entries import Ledger
from ideogram_async._limiter.limiter import ImageLimiter, Limiter
from ideogram_async._pipeline.sessions import SessionFactory, SessionOptions, Sessions
from ideogram_async._pipeline.webhook_keys import WebhookKeys
from ideogram_async._redaction import HeaderSecret, Secret, mask_user
from ideogram_async._transport.emitter import Listener
from ideogram_async._transport.policy import Retry, Timeout
from ideogram_async.errors import AuthenticationError

RESERVED_HEADERS = ("api-key", "host", "content-length", "content-type", "transfer-encoding")
KeySource: TypeAlias = Secret | Callable[[], str | Awaitable[str]]


@frozen(kw_only=True)
class ClientConfig:
    """The settings and state that all views of a client share."""

    key: KeySource
    base_url: URL
    sessions: Sessions
    limiter: Limiter
    hosts: Hosts
    max_image_bytes: int
    max_upload_bytes: int
    ledger: Ledger | None
    private: bool | None
    """Sent where a request leaves the field of this name open."""
    webhook_keys: WebhookKeys = field(factory=WebhookKeys, repr=False)

    @property
    def origin(self) -> str:
        """Return the name of the service in records: another one must not use them."""
        return "sandbox" if self.hosts.loopback else str(self.base_url.origin())

    @classmethod
    def of(
        cls,
        *,
        key: KeySource,
        base_url: str,
        max_in_flight: int,
        limiter: Limiter | None,
        image_hosts: Sequence[str] | None,
        session_factory: SessionFactory | None,
        proxy: str | None,
        trust_env: bool,
        reuse_connections: bool,
        max_image_bytes: int,
        max_upload_bytes: int,
        ledger: Ledger | None,
        private: bool | None,
    ) -> ClientConfig:
        """Convert the arguments of `Ideogram`.

        Raises:
            TypeError: If one of them has a wrong type.
            ValueError: If one of them is invalid.
        """
        check_counts(max_in_flight=max_in_flight, max_image_bytes=max_image_bytes, max_upload_bytes=max_upload_bytes)
        check_type("limiter", limiter, "a Limiter", is_valid=callable(getattr(limiter, "acquire", None)))
        check_type("ledger", ledger, "a Ledger such as SqliteLedger", is_valid=callable(getattr(ledger, "claim", None)))
        check_type("private", private, "True, False or None", is_valid=isinstance(private, bool))
        check_type("session_factory", session_factory, "a function", is_valid=callable(session_factory))
        # A single name is a sequence of letters, which would refuse every billed image.
        check_type("image_hosts", image_hosts, "a list of names", is_valid=not isinstance(image_hosts, str))
        url = parse_base_url(base_url)
        loopback = is_loopback(url)
        options = SessionOptions(
            factory=session_factory,
            proxy=proxy,
            trust_env=trust_env,
            reuse_connections=reuse_connections,
            loopback=loopback,
        )
        return cls(
            key=key,
            base_url=url,
            sessions=Sessions(options),
            limiter=ImageLimiter(max_in_flight) if limiter is None else limiter,
            hosts=Hosts(tuple(image_hosts) if image_hosts is not None else None, loopback=loopback),
            max_image_bytes=max_image_bytes,
            max_upload_bytes=max_upload_bytes,
            ledger=ledger,
            private=private,
        )

    async def resolve_key(self) -> HeaderSecret:
        """Return the API key; a function is called for each attempt.

        Raises:
            AuthenticationError: If there is none.
        """
        if isinstance(self.key, Secret):
            secret = self.key
        else:
            value = self.key()
            try:
                # `None`, like an empty string, is a missing key.
                secret = Secret((await value if inspect.isawaitable(value) else value) or "")
            finally:
                # A traceback shows the locals of this frame.
                del value

        if not secret:
            raise AuthenticationError("no API key: set IDEOGRAM_API_KEY or pass api_key; nothing was sent", status=401)

        return secret.reveal()


def to_timeout(value: Timeout | float | None) -> Timeout:
    """Convert a timeout; `None` reads `IDEOGRAM_TIMEOUT`, in seconds.

    Raises:
        ValueError: If it is not a number of seconds.
    """
    if value is not None:
        return Timeout.of(value)

    text = os.environ.get("IDEOGRAM_TIMEOUT", "").strip()
    try:
        seconds = float(text) if text else None
    except ValueError:
        raise ValueError(f"IDEOGRAM_TIMEOUT must be a number of seconds, not {text!r}") from None

    return Timeout.of(seconds)


def to_retry(value: Retry | None) -> Retry:
    """Convert a retry policy; `None` is the default one."""
    check_type("retry", value, "a Retry such as Retry(attempts=3)", is_valid=isinstance(value, Retry))
    return value or Retry()


def to_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Convert extra headers.

    Raises:
        ValueError: If one of them is reserved or malformed.
    """
    for name, value in (headers or {}).items():
        if (
            name.lower() in RESERVED_HEADERS
            or not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name)
            or re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value)
        ):
            raise ValueError(f"extra_headers: {name!r} cannot be sent")

    return dict(headers or {})


def to_listener(value: Listener | None) -> Listener | None:
    """Check a listener."""
    check_type("on_event", value, "a function", is_valid=callable(value))
    return value


@frozen(kw_only=True)
class RequestOptions:
    """The settings of one view of a client."""

    timeout: Timeout = field(converter=to_timeout)
    retry: Retry = field(converter=to_retry)
    extra_headers: dict[str, str] = field(converter=to_headers, repr=False)
    validate: bool
    on_event: Listener | None = field(converter=to_listener)


def check_counts(**values: object) -> None:
    """Check whole numbers from 1.

    Raises:
        TypeError: If one of them is not a whole number.
        ValueError: If one of them is less than 1.
    """
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name} must be a whole number, not {type(value).__name__}")

        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")


def check_type(name: str, value: object, expected: str, *, is_valid: bool) -> None:
    """Raise `TypeError` if a value is neither `None` nor valid."""
    if value is not None and not is_valid:
        raise TypeError(f"{name} must be {expected}, not {type(value).__name__}")


def parse_base_url(value: str) -> URL:
    """Parse the base URL: https, or http to this machine. A path is allowed, a query is not.

    Raises:
        ValueError: If it is malformed, or the key would not be safe there.
    """
    url = URL(value)
    is_safe = url.scheme == "https" or (url.scheme == "http" and is_loopback(url))
    if not is_safe or not url.host or url.user or url.query_string or url.fragment:
        raise ValueError(
            "base_url must begin with https://, or http:// to this machine, and have no user, query or fragment"
        )

    return url


def parse_proxy(value: str) -> HeaderSecret:
    """Check the URL of a proxy. It may contain a password, so its `repr` is `***`.

    Raises:
        TypeError: If it is not text.
        ValueError: If it is not the URL of an HTTP proxy. The message does not contain the password.
    """
    # Rebound before anything can fail: a traceback shows the locals of this frame, too.
    is_text, type_name = isinstance(value, str), type(value).__name__
    value = HeaderSecret(value if is_text else "")
    if not is_text:
        raise TypeError(f"proxy must be the URL of an HTTP proxy, not {type_name}")

    if not is_proxy(value):
        raise ValueError(f"proxy must be {expected_proxy(value)}, not {mask_user(value)!r}")

    return value


def expected_proxy(value: str) -> str:
    """Return what a proxy must be, with the URL that was meant if only its scheme is missing."""
    example = f"http://{value}"
    example = mask_user(example) if is_proxy(example) and "://" not in value else "http://proxy.example:3128"
    return f"the URL of an HTTP proxy, such as {example!r}"


def is_proxy(url: str) -> bool:
    """Return whether a URL is that of an HTTP proxy."""
    try:
        parts = URL(url)
    except ValueError:
        return False

    return parts.scheme in ("http", "https") and bool(parts.host) and not re.search(r"\s", url)


def is_loopback(url: URL) -> bool:
    """Return whether a URL points to this machine."""
    # Parsed as an address: a public name may begin with "127." too.
    host = url.host or ""
    return host == "localhost" or hosts.is_loopback(host)
