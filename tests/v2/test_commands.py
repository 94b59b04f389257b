"""Commands of the second contract."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import attrs
import pytest
from attrs import frozen
from support.commands import Completed, Invoke
from support.pictures import picture

from ideogram_async import WaitTimeout, v2
from ideogram_async._namespaces_v2 import V2
from ideogram_async._operations import Endpoint, operation
from ideogram_async._rows import fields
from ideogram_async.cli import catalog, main
from ideogram_async.cli.exit_codes import Exit, exit_code_for_error
from ideogram_async.sandbox import Fault, Sandbox
from ideogram_async.v2._fields import PROMPT, Drawing, NumImages, Tier, documented, drawing


@pytest.fixture
def invoke(
    tmp_path: Path, ideogram_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Invoke:
    """Return a function that runs a command in this process, with the sandbox of the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IDEOGRAM_API_KEY", "sandbox")
    monkeypatch.setenv("IDEOGRAM_BASE_URL", ideogram_sandbox.url)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delitem(sys.modules, "pydantic", raising=False)
    (tmp_path / "fox.png").write_bytes(picture())

    def run(*arguments: object) -> Completed:
        code = main([str(argument) for argument in arguments])
        output = capsys.readouterr()
        return Completed(code, output.out, output.err)

    return run


def sent(sandbox: Sandbox) -> dict[str, object]:
    body: dict[str, object] = sandbox.requests[-1].json
    return body


def test_images_are_saved(invoke: Invoke, ideogram_sandbox: Sandbox, tmp_path: Path):
    """Options are the fields of the request, values of closed lists in any case, and `private` is sent by default."""
    options = ("--size", "2048x1024", "--quality", "LOW", "--num-images", "2")
    completed = invoke("v2", "generate-46", "a red fox", *options, "--extra", "background=transparent", "-o", "out")

    assert (0, 2) == (completed.code, len(list((tmp_path / "out").glob("*.png"))))
    assert {
        "prompt": "a red fox",
        "size": "2048x1024",
        "quality": "low",
        "num_images": 2,
        "private": True,
        "background": "transparent",
    } == sent(ideogram_sandbox)


@pytest.mark.parametrize(
    ("options", "quoted", "worst"),
    [
        ((), "0.10 USD, at most 0.20 USD", "0.20 USD"),
        (("--quality", "low"), "0.03 USD, at most 0.06 USD", "0.06 USD"),
        (("--quality", "low", "--size", "auto"), "0.03 USD", "0.03 USD"),
    ],
)
def test_a_quote_and_a_run_state_the_same_price(invoke: Invoke, options: tuple[str, ...], quoted: str, worst: str):
    """What is left open may cost more than its quote: both state the most."""
    quote = invoke("v2", "generate-46", "a red fox", *options, "--quote")
    run = invoke("v2", "generate-46", "a red fox", *options)

    assert quoted == quote.out.splitlines()[0]
    assert f"1 image for at most {worst}\n" in run.out


def test_both_pictures_of_a_layered_item_are_saved(invoke: Invoke, tmp_path: Path):
    """The picture without text and the original are two files."""
    completed = invoke("v2", "layerize-3", "fox.png", "-o", "out")

    assert (0, 2) == (completed.code, len(list((tmp_path / "out").glob("*.png"))))


def test_a_description_is_edited_and_drawn(invoke: Invoke, ideogram_sandbox: Sandbox, tmp_path: Path):
    """The answer of `describe-4` is the file of a prompt; what is printed for people is the prompt as JSON."""
    described, shown = invoke("v2", "describe-4", "fox.png", "--json"), invoke("v2", "describe-4", "fox.png")
    (tmp_path / "poster.json").write_text(described.out)
    drawn = invoke("v2", "generate-46", "@poster.json", "--no-save")
    prompt = described.events[0]["json_prompt"]

    assert 0 == drawn.code
    assert (prompt, "off") == (
        json.loads(str(sent(ideogram_sandbox)["prompt"])),
        sent(ideogram_sandbox)["magic_prompt"],
    )
    assert prompt == json.loads(shown.out[shown.out.index("{") :])


@pytest.mark.parametrize("source", ["asset:UPLOAD:x_1", "asset:upload:x_1"])
def test_an_asset_is_a_source(invoke: Invoke, ideogram_sandbox: Sandbox, source: str):
    """An asset of the account is passed in place of a path."""
    completed = invoke("v2", "upscale-auto", source, "--no-save")

    assert 0 == completed.code
    assert {"asset_type": "UPLOAD", "asset_id": "x_1"} == sent(ideogram_sandbox)["image_asset_identifier"]


def test_a_submitted_call_is_waited_for(invoke: Invoke, ideogram_sandbox: Sandbox, tmp_path: Path):
    """`--submit` prints the id alone, and `wait` saves the images, as often as it is asked."""
    submitted = invoke("v2", "generate-46", "a red fox", "--submit", "--webhook-url", "https://example.com/hook")
    waited = [invoke("wait", submitted.out.strip(), "-o", "out") for _ in range(2)]

    assert (0, [0, 0]) == (submitted.code, [each.code for each in waited])
    assert 1 == len(list((tmp_path / "out").glob("*.png")))
    assert 1 == len(ideogram_sandbox.ledger.entries)


@pytest.mark.parametrize(
    "arguments", [("-x_1", "--no-save"), ("--no-save", "-x_1"), ("--json", "-x_1", "--timeout", "0.1"), ("-x_1",)]
)
def test_an_id_may_begin_with_a_hyphen(invoke: Invoke, ideogram_sandbox: Sandbox, arguments: tuple[str, ...]):
    """Ids are URL-safe base64: one that looks like an option is an id all the same."""
    invoke("wait", *arguments, *(() if "--timeout" in arguments else ("--timeout", "0.1")))

    assert "/v2/generations/-x_1" == ideogram_sandbox.requests[0].path


def test_a_submitted_call_as_json(invoke: Invoke):
    """JSON has the id and the images in progress."""
    completed = invoke("v2", "generate-4", "a red fox", "--num-images", "2", "--submit", "--json")

    assert 2 == completed.events[0]["weight"]
    assert 0 == invoke("wait", completed.events[0]["generation_id"], "--no-save").code


def test_a_webhook_needs_a_submitted_call(invoke: Invoke, ideogram_sandbox: Sandbox):
    """A call that is waited for has no webhook."""
    completed = invoke("v2", "generate-46", "a red fox", "--webhook-url", "https://example.com/hook")

    assert (2, 0) == (completed.code, len(ideogram_sandbox.requests))


def test_the_end_of_a_wait_says_how_to_go_on():
    """A generation that is not finished is not a loss: the exit code is that of unfinished work."""
    error = WaitTimeout("late", ticket=v2.Accepted("x_1"), status="pending")

    assert Exit.UNFINISHED == exit_code_for_error(error)


@pytest.mark.parametrize(
    "arguments",
    [
        ("upscale-auto", "asset:UPLOAD:x_1", "--upscale-factor", "x4"),
        ("custom", "image", "generate", "ideogram-4", "prompt=a fox", "num_images=2"),
        ("generate-46", "a fox", "--submit", "--webhook-url", "http://127.0.0.1:9/hooks"),
    ],
)
def test_a_quote_costs_nothing(invoke: Invoke, ideogram_sandbox: Sandbox, arguments: tuple[str, ...]):
    """`--quote` prints the price that the service states, also of a custom or a submitted call; nothing is billed."""
    completed = invoke("v2", *arguments, "--quote", "--json")

    assert 0 == completed.code
    assert float(completed.events[0]["usd"]) > 0
    assert () == ideogram_sandbox.ledger.entries


def test_a_custom_call(invoke: Invoke, ideogram_sandbox: Sandbox, tmp_path: Path):
    """A call without a command has its fields by name, as JSON or text, and files by the names of their fields."""
    files = ("--files", "image=fox.png", "-o", "out")
    completed = invoke("v2", "custom", "image", "remix", "ideogram-4", "prompt=7 foxes", *files)

    assert (0, 1) == (completed.code, len(list((tmp_path / "out").glob("*.png"))))
    assert {"prompt", "image"} == {part.name for part in ideogram_sandbox.requests[-1].parts} - {"private"}


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("generate-46", "a fox", "--resolution", "1024x1024"), "Did you mean --size?"),
        (("generate-46", "@none.json"), "PROMPT cannot be read: No such file or directory: none.json"),
        (("generate-46", "a fox", "--extra", "background"), "--extra must be name=value, not 'background'"),
        (("upscale-auto", "asset:UPLOD:x_1"), "did you mean 'UPLOAD'?"),
        (("upscale-auto", "asset:UPLOAD"), "IMAGE must be asset:TYPE:ID, such as"),
    ],
)
def test_a_mistake_is_named_before_anything_is_sent(
    invoke: Invoke, ideogram_sandbox: Sandbox, arguments: tuple[str, ...], advice: str
):
    """An error names the option, the rule and what was meant."""
    completed = invoke("v2", *arguments)

    assert (2, 0) == (completed.code, len(ideogram_sandbox.requests))
    assert advice in completed.err


def test_a_404_may_be_the_fault_of_the_base_url(
    invoke: Invoke, ideogram_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    """The paths begin with the version, so a base URL that ends with it is answered with 404. The advice names it."""
    monkeypatch.setenv("IDEOGRAM_BASE_URL", f"{ideogram_sandbox.url}/v2")
    completed = invoke("v2", "generate-4", "a fox")

    assert 1 == completed.code
    assert "Check the id, the path of a custom call, and IDEOGRAM_BASE_URL." in completed.err


def test_a_limit_of_the_account_is_named(invoke: Invoke, ideogram_sandbox: Sandbox):
    """Waiting does not help against it, so the advice is that of the error."""
    ideogram_sandbox.fail("generate/ideogram-4", fault=Fault.rejected("feature_limit", 429))
    completed = invoke("v2", "generate-4", "a fox")

    assert 1 == completed.code
    assert "The account has reached its limit 'feature_limit'." in completed.err


def test_the_usage_of_the_account(invoke: Invoke):
    """Each product has a line with its price, and times without a zone are UTC."""
    invoke("v2", "generate-4", "a fox", "--no-save")
    completed = invoke("account", "usage", "--start", "2026-01-01", "--end", "2026-01-31T12:00Z")

    assert (0, "  nothing was billed\n") == (completed.code, completed.out)


def test_help_does_not_load_the_second_contract():
    """Help and commands of the first contract import neither the requests nor the namespaces of the second one."""
    script = "import sys; from ideogram_async.cli import main; main(['--help']); main(['generate', '--help']); "
    modules = "'ideogram_async.v2.images' in sys.modules, 'ideogram_async._namespaces_v2' in sys.modules"
    completed = subprocess.run([sys.executable, "-c", f"{script}print({modules})"], capture_output=True, text=True)

    assert ("", "False False") == (completed.stderr, completed.stdout.splitlines()[-1])


@frozen(slots=False, eq=False, repr=False, field_transformer=documented)
class Generate7(NumImages, Tier, Drawing):
    """Draw images from a prompt with Ideogram 7."""

    endpoint: ClassVar[Endpoint] = drawing("image/generate/ideogram-7")

    prompt: str = attrs.field(metadata=PROMPT)


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Add a model, as a newer version of the library would."""

    class Newer(V2):
        @operation(Generate7)
        def generate_7(self) -> None: ...

    caches = (fields.image_operations, fields.request_classes, catalog.second_commands, catalog.value_lists)
    monkeypatch.setattr(v2, "Generate7", Generate7, raising=False)
    monkeypatch.setattr(v2, "__all__", [*v2.__all__, "Generate7"])
    monkeypatch.setattr("ideogram_async._namespaces_v2.V2", Newer)
    for each in caches:
        each.cache_clear()

    yield
    for each in caches:
        each.cache_clear()


@pytest.mark.usefixtures("newer")
def test_a_new_model_is_a_command_and_an_operation_of_rows(invoke: Invoke, tmp_path: Path):
    """A class and its method are all that a new model needs: help, options, examples and jobs files follow."""
    page = invoke("v2", "generate-7", "--help").out
    (tmp_path / "jobs.csv").write_text("prompt,quality\na fox,low\n")
    names = ("v2 generate-7", "v2:image/generate/ideogram-7")

    assert "generate-7" in invoke("v2", "--help").out
    assert "--quality CHOICE" in page
    assert 'ideogram-async v2 generate-7 "a red fox"' in page
    assert [0, 0] == [invoke("batch", "plan", "jobs.csv", "--operation", name).code for name in names]
    assert "POST /v2/image/generate/ideogram-7" in invoke("v2", "generate-7", "a fox", "--dry-run").out
