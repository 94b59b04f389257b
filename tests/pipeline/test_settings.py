"""Settings of a client: arguments win over the environment, and invalid ones raise at once."""

from __future__ import annotations

from typing import Any

import pytest

from ideogram_async import AuthenticationError, Ideogram
from ideogram_async.sandbox import Sandbox


async def test_an_empty_key_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty key counts as missing: the key of the environment is not used in its place."""
    monkeypatch.setenv("IDEOGRAM_API_KEY", "another-key")
    async with Sandbox() as sandbox, Ideogram("", base_url=sandbox.url) as client:
        with pytest.raises(AuthenticationError, match="no API key"):
            await client.generate("a fox")

        assert [] == sandbox.requests


@pytest.mark.parametrize(
    ("setting", "kind", "message"),
    [
        ({"base_url": ""}, ValueError, "base_url must begin with https://"),
        ({"max_in_flight": 0}, ValueError, "max_in_flight must be at least 1, not 0"),
        ({"max_in_flight": "3"}, TypeError, "max_in_flight must be a whole number, not str"),
        ({"max_image_bytes": 0}, ValueError, "max_image_bytes must be at least 1, not 0"),
        ({"max_upload_bytes": True}, TypeError, "max_upload_bytes must be a whole number, not bool"),
        ({"retry": 5}, TypeError, r"retry must be a Retry such as Retry\(attempts=3\), not int"),
        ({"limiter": 10}, TypeError, "limiter must be a Limiter, not int"),
        ({"on_event": []}, TypeError, "on_event must be a function, not list"),
        ({"session_factory": {}}, TypeError, "session_factory must be a function, not dict"),
        ({"image_hosts": "ideogram.ai"}, TypeError, "image_hosts must be a list of names, not str"),
        (
            {"proxy": "localhost:3128"},
            ValueError,
            "proxy must be the URL of an HTTP proxy, such as 'http://localhost:3128', not 'localhost:3128'",
        ),
        ({"proxy": "me:pw@proxy:1"}, ValueError, r"such as 'http://\*\*\*@proxy:1', not '\*\*\*@proxy:1'"),
        ({"proxy": "socks5://proxy:1"}, ValueError, "such as 'http://proxy.example:3128', not 'socks5://proxy:1'"),
        ({"proxy": ""}, ValueError, "proxy must be the URL of an HTTP proxy, .*, not ''"),
        ({"proxy": 3128}, TypeError, "proxy must be the URL of an HTTP proxy, not int"),
        ({"timeout": 0}, ValueError, "must be more than 0 seconds"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_wrong_setting_fails_at_once(setting: dict[str, Any], kind: type[Exception], message: str) -> None:
    """An invalid setting raises an error that names it on construction, not at the first call."""
    with pytest.raises(kind, match=message):
        Ideogram("key", **setting)


def test_a_wrong_option_fails_at_once() -> None:
    """An invalid option of a view raises at once, too."""
    with pytest.raises(TypeError, match=r"retry must be a Retry such as Retry\(attempts=3\), not int"):
        Ideogram("key").with_options(retry=5)  # type: ignore[arg-type]


def test_a_wrong_timeout_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error for a timeout that is not a number names the environment variable."""
    monkeypatch.setenv("IDEOGRAM_TIMEOUT", "soon")
    with pytest.raises(ValueError, match="IDEOGRAM_TIMEOUT must be a number of seconds, not 'soon'"):
        Ideogram("key")


def test_a_namespace_shows_its_client() -> None:
    """`client.legacy`, `client.datasets` and `client.models` show their client."""
    client = Ideogram("key")

    assert f"<Models of {client!r}>" == repr(client.models)
