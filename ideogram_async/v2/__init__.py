"""The second contract of the service: requests and answers of Ideogram 4, 4.5 and 4.6, and of the 3 models in it.

    from ideogram_async import Ideogram, v2

    async with Ideogram() as client:
        answer = await client.v2.generate_46("a red fox", size="2048x1024")

Source: https://developer.ideogram.ai/ideogram-api/models
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ideogram_async._lazy import lazy_exports

if TYPE_CHECKING:
    from ideogram_async._accepted import Accepted
    from ideogram_async.v2.account import (
        AccountUsageApiKey,
        AccountUsageBilledUnits,
        AccountUsageBucket,
        AccountUsageLineItem,
        GetAccountUsage,
        GetAccountUsageResponse,
        GetGeneration,
        GetGenerationV1,
        GetWebhookKeys,
        WebhookSigningJwk,
        WebhookSigningJwks,
    )
    from ideogram_async.v2.answers import (
        DescribeImageIdeogramV3Response,
        DescribeImageIdeogramV4Response,
        GeneratedDescription,
        Generation,
        GenerationItem,
        Image,
        Layered,
        MagicPromptV4Response,
        Quote,
        UnknownItem,
    )
    from ideogram_async.v2.custom import Custom
    from ideogram_async.v2.images import (
        Describe3,
        Describe4,
        Generate3,
        Generate3Character,
        Generate4,
        Generate4Transparent,
        Generate45,
        Generate46,
        Inpaint3,
        Layerize3,
        MagicPrompt4,
        PreciseEdit45,
        PreciseEdit46,
        Reframe3,
        Remix3,
        Remix4,
        RemoveBackground,
        ReplaceBackground3,
        UpscaleAuto,
    )
    from ideogram_async.v2.json_prompt import JsonPrompt, Obj, Style, Text

_EXPORTS = {
    "._accepted": "Accepted",
    "account": """
        AccountUsageApiKey AccountUsageBilledUnits AccountUsageBucket AccountUsageLineItem GetAccountUsage
        GetAccountUsageResponse GetGeneration GetGenerationV1 GetWebhookKeys WebhookSigningJwk WebhookSigningJwks""",
    "answers": """
        DescribeImageIdeogramV3Response DescribeImageIdeogramV4Response GeneratedDescription Generation GenerationItem
        Image Layered MagicPromptV4Response Quote UnknownItem""",
    "custom": "Custom",
    "json_prompt": "JsonPrompt Obj Style Text",
}

__all__ = [
    "Accepted",
    "AccountUsageApiKey",
    "AccountUsageBilledUnits",
    "AccountUsageBucket",
    "AccountUsageLineItem",
    "Custom",
    "Describe3",
    "Describe4",
    "DescribeImageIdeogramV3Response",
    "DescribeImageIdeogramV4Response",
    "Generate3",
    "Generate3Character",
    "Generate4",
    "Generate4Transparent",
    "Generate45",
    "Generate46",
    "GeneratedDescription",
    "Generation",
    "GenerationItem",
    "GetAccountUsage",
    "GetAccountUsageResponse",
    "GetGeneration",
    "GetGenerationV1",
    "GetWebhookKeys",
    "Image",
    "Inpaint3",
    "JsonPrompt",
    "Layered",
    "Layerize3",
    "MagicPrompt4",
    "MagicPromptV4Response",
    "Obj",
    "PreciseEdit45",
    "PreciseEdit46",
    "Quote",
    "Reframe3",
    "Remix3",
    "Remix4",
    "RemoveBackground",
    "ReplaceBackground3",
    "Style",
    "Text",
    "UnknownItem",
    "UpscaleAuto",
    "WebhookSigningJwk",
    "WebhookSigningJwks",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_exports(__name__, _EXPORTS, rest=("images", __all__))
