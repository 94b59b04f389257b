"""Code of users, for type checkers only: nothing here runs."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, assert_type

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from ideogram_async import (
    AssetIdentifier,
    Batch,
    Billed,
    ColorPaletteMember,
    DescribeResponse,
    Generate,
    GenerateImageResponse,
    GetModelResponse,
    Ideogram,
    IdeogramError,
    ImageFile,
    ImageGenerationObjectV3,
    ImageGenerationResponseV3,
    Limiter,
    ListModelsResponse,
    ModelStatus,
    Plan,
    Price,
    RemoveBackgroundResponse,
    RenderingSpeed,
    Reply,
    Report,
    Retry,
    RunningCall,
    Timeout,
    Unchecked,
    Upscale,
    v2,
    webhooks,
)
from ideogram_async._namespaces import Legacy
from ideogram_async.batch import Folder
from ideogram_async.events import Event
from ideogram_async.integrations.fastapi import (
    get_client,
    image_response,
    install_error_handlers,
    lifespan,
    webhook_router,
)
from ideogram_async.webhooks import WebhookEvent


async def read_key() -> str:
    return "key"


def listen(event: Event) -> None:
    del event


async def answers_are_inferred(client: Ideogram) -> None:
    answer = await client.generate("a red fox", num_images=2, rendering_speed="TURBO")
    assert_type(answer, ImageGenerationResponseV3)
    for image in answer:
        assert_type(image, ImageGenerationObjectV3)
        assert_type(image.url, str | None)
        assert_type(await client.download(image, "foxes/"), Path)
        assert_type(await client.upscale(image), GenerateImageResponse)

    assert_type(answer[0], ImageGenerationObjectV3)
    assert_type(answer[:1], tuple[ImageGenerationObjectV3, ...])
    assert_type(answer.to_dict(), dict[str, Any])
    assert_type(await client.send(Generate("a red fox")), ImageGenerationResponseV3)
    assert_type(await client.send(Upscale("fox.png")), GenerateImageResponse)
    assert_type(await client.describe(b"..."), DescribeResponse)
    assert_type(await client.remove_background(Path("fox.png")), RemoveBackgroundResponse)
    assert_type(await client.models.list(status=["TRAINING"]), ListModelsResponse)
    assert_type(await client.models.wait("id", poll=1), GetModelResponse)
    assert_type(await client.legacy.generate("a fox", model="V_2"), GenerateImageResponse)
    assert_type(await client.raw("GET", "/v2/thing", params={"a": 1}), Reply)
    assert_type(client.estimate(Generate("a fox")), Price)
    assert_type(answer.meta.request_id, str | None)


async def answers_of_the_second_contract_are_inferred(client: Ideogram) -> None:
    answer = await client.v2.generate_46("a red fox", size="2048x1024", quality="low", private=False)
    assert_type(answer, v2.Generation)
    for item in answer:
        assert_type(item, v2.GenerationItem)

    described = await client.v2.describe_4("poster.png")
    assert_type(described, v2.DescribeImageIdeogramV4Response)
    assert_type(await client.v2.generate_45(described.json_prompt, images=["fox.png", b"..."]), v2.Generation)
    asset = AssetIdentifier(asset_type="UPLOAD", asset_id="x")
    assert_type(await client.v2.upscale_auto(asset, upscale_factor="x4"), v2.Generation)
    assert_type(await client.send(v2.Custom("image", "generate", "ideogram-5", {"prompt": "a fox"})), v2.Generation)
    ticket = await client.submit(v2.Generate46("a fox"))
    assert_type(ticket, v2.Accepted)
    assert_type(await client.generations.wait(ticket), v2.Generation)
    assert_type(await client.quote(v2.Generate46("a fox")), v2.Quote)
    assert_type(await client.account.usage(datetime.now(UTC)), v2.GetAccountUsageResponse)


async def files_have_many_forms(client: Ideogram) -> None:
    with open("fox.png", "rb") as handle:  # noqa: PTH123
        await client.remix(handle, "a blue fox")

    await client.remix("fox.png", "a blue fox")
    await client.remix(("fox.png", b"..."), "a blue fox")
    await client.remix(ImageFile(b"...", name="fox.png"), "a blue fox")
    await client.generate(
        "a fox",
        style_reference_images=[Path("a.png"), b"...", ("c.png", b"...")],
        color_palette=["#FF5733", ("#33FF57", 0.5), ColorPaletteMember("#3357FF", 0.2)],
    )
    await client.generate("a fox", color_palette="EMBER", rendering_speed=RenderingSpeed.TURBO)
    await client.generate("a fox", rendering_speed=Unchecked("BALANCED"), style_codes=["0123abcd"])


async def a_text_becomes_a_value_of_an_enum(client: Ideogram, speed: str, statuses: list[ModelStatus]) -> None:
    await client.generate("a fox", rendering_speed=RenderingSpeed(speed))
    await client.generate("a fox", rendering_speed=Unchecked(speed))
    await client.models.list(status=statuses)
    for each in RenderingSpeed:
        await client.generate("a fox", rendering_speed=each)


async def settings_are_typed() -> None:
    async with Ideogram(read_key, timeout=Timeout(total=400), retry=Retry(attempts=3), on_event=listen) as client:
        view = client.with_options(timeout=20, extra_headers={"X-Trace": "1"})
        assert_type(view, Ideogram)
        async with view.stream("https://ideogram.ai/x.png") as stream:
            async for chunk in stream:
                assert_type(chunk, bytes)

            assert_type(stream.content_type, str)
            assert_type(stream.length, int | None)


async def mistakes_are_refused(client: Ideogram, speed: str) -> None:
    await client.generate("a fox", num_image=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await client.generate("a fox", seed="seven")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await client.generate("a fox", rendering_speed="fast")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await client.generate("a fox", resolution="1x1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await client.generate("a fox", rendering_speed=speed)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await client.models.list(status=["DONE"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    await client.generate()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await client.remix("fox.png")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await client.legacy.edit("a.png", "b.png", "c")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Generate("a fox", prompt="twice")  # type: ignore[misc]  # pyright: ignore[reportCallIssue]


async def namespaces_are_typed(client: Ideogram) -> None:
    assert_type(client.legacy, Legacy)
    assert_type(Ideogram.legacy, type[Legacy])
    assert_type(await Ideogram.generate(client, "a fox"), ImageGenerationResponseV3)
    assert_type(client.limiter, Limiter)
    assert_type(client.batch([Generate("a fox")], "out/", max_cost_usd="5.00"), Batch)
    assert_type(await client.plan([Generate("a fox")]), Plan)
    assert_type(await client.run_batch(None, "out/"), Report)
    assert_type(await Folder("out/").collect(client, max_downloads=4), Report)


def errors_are_typed(error: IdeogramError) -> None:
    assert_type(error.billed, Billed)
    assert_type(error.retryable, bool)
    assert_type(error.advice, str)


def misspelt_names_are_refused() -> None:
    from ideogram_async import Ideogrom  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]

    del Ideogrom


async def calls_are_started(client: Ideogram) -> None:
    def keep(call: RunningCall[ImageGenerationResponseV3]) -> None:
        assert_type(call.result(), ImageGenerationResponseV3)
        assert_type(call.error, Exception | None)

    async def keep_later(call: RunningCall[ImageGenerationResponseV3]) -> None:
        assert_type(await call, ImageGenerationResponseV3)

    call = await client.start(Generate("a red fox"), on_done=keep)
    assert_type(call, RunningCall[ImageGenerationResponseV3])
    assert_type(await call, ImageGenerationResponseV3)
    await client.start(Generate("a red fox"), on_done=keep_later)
    await client.start(Upscale("fox.png"), on_done=keep)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await client.aclose(grace=10)


def apps_are_configured(client: Ideogram) -> None:
    FastAPI(lifespan=lifespan)
    Starlette(lifespan=lifespan)
    app = FastAPI(lifespan=partial(lifespan, client=client, grace=10))
    install_error_handlers(app)


async def requests_are_answered(client: Ideogram, request: Request, upload: UploadFile) -> Response:
    assert_type(await get_client(request), Ideogram)
    answer = await client.remix(upload, "a blue fox")
    return image_response(client, answer.data[0])


async def deliveries_are_received(client: Ideogram, request: Request) -> None:
    async def keep(event: WebhookEvent) -> None:
        assert_type(event.generation, v2.Generation)

    FastAPI().include_router(webhook_router(client, on_event=keep))
    keys = await client.webhooks.keys()
    assert_type(keys, v2.WebhookSigningJwks)
    assert_type(await client.webhooks.unwrap(await request.body(), request.headers), WebhookEvent)
    assert_type(webhooks.unwrap(b"{}", {}, keys, now=1.0, tolerance=None), WebhookEvent)
    webhooks.unwrap(b"{}", [("a", "b")], {"keys": []})
    webhooks.unwrap("{}", {}, keys)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
