"""Rules of the service that are checked before sending: values that break each, and values that just keep it."""

from __future__ import annotations

from typing import Any

from ideogram_async import ColorPaletteMember, ImageFile
from ideogram_async.models import RemoveBackgroundImageObject
from ideogram_async.requests import (
    CreateDataset,
    Describe,
    Edit,
    Generate,
    GenerateTransparent,
    GetDataset,
    GetModel,
    Inpaint,
    LayerizeText,
    LegacyEdit,
    LegacyEditV3,
    LegacyGenerate,
    LegacyReframe,
    LegacyRemix,
    ListModels,
    Reframe,
    Remix,
    RemoveBackground,
    ReplaceBackground,
    TrainModel,
    UploadDatasetAssets,
    Upscale,
)
from support.pictures import TOO_LARGE, archive, picture

__all__ = ["ALLOWED", "REFUSED", "WRONG_TYPES"]

PNG, OTHER, GRAY = picture(), picture(size=(32, 32)), picture(mode="L")
LARGEST, HALF = picture(length=TOO_LARGE - 1), picture(length=TOO_LARGE // 2 + 1)
SIZE, LINK = "RESOLUTION_1280_704", "https://ideogram.ai/api/images/ephemeral/x.png?exp=1&sig=2"
URI = "model/red/version/1"
MASKS = [picture(mode=mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")] + [
    picture(kind) for kind in ("JPEG", "WEBP")
]

REFUSED: list[tuple[Any, str, str]] = [
    *[(kind(""), "prompt", "empty") for kind in (Generate, GenerateTransparent, LegacyGenerate)],
    (Generate(" \n"), "prompt", "empty"),
    (Edit("", images=[PNG]), "prompt", "empty"),
    *[(kind(PNG, ""), "prompt", "empty") for kind in (Remix, ReplaceBackground, LegacyRemix)],
    *[(kind(PNG, PNG, ""), "prompt", "empty") for kind in (Inpaint, LegacyEditV3)],
    *[(Generate("x", seed=seed), "seed", f"from 0 to 2147483647, not {seed}") for seed in (-1, 2**31)],
    (LayerizeText(PNG, seed=-1), "seed", "from 0"),
    *[(Generate("x", num_images=n), "num_images", f"from 1 to 8, not {n}") for n in (0, 9)],
    (Upscale(PNG, num_images=9), "num_images", "from 1 to 8"),
    *[(Remix(PNG, "x", image_weight=n), "image_weight", f"from 1 to 100, not {n}") for n in (0, 101)],
    *[(LegacyRemix(PNG, "x", image_weight=n), "image_weight", "from 1 to 100") for n in (0, 101)],
    *[(Upscale(PNG, resemblance=n), "resemblance", "from 1 to 100") for n in (0, 101)],
    *[(Upscale(PNG, detail=n), "detail", "from 1 to 100") for n in (0, 101)],
    *[
        (Generate("x", style_codes=["0a1B2c3D", code]), "style_codes", "[1] must be 8 hexadecimal digits")
        for code in ("0a1B2c3", "0a1B2c3D4", "0a1B2c3G", "", "0a1B2c3D\n")
    ],
    *[
        (Generate("x", color_palette=["#000", (color, 1.0)]), "color_palette", "[1] must be a color such as #RGB")
        for color in ("red", "#12", "#1234", "#1234567", "#ggg", "#123\n")
    ],
    *[
        (Reframe(PNG, "1024x1024", color_palette=[("#000", weight)]), "color_palette", f"0.05 to 1.0, not {weight}")
        for weight in (0.049, 1.01, 0, -1, float("nan"))
    ],
    (LegacyGenerate("x", color_palette=["#000"] * 9), "color_palette", "1 to 8 members, not 9"),
    (Generate("x", color_palette="NEON"), "color_palette", "'NEON' is not one of EMBER"),
    (Generate("x", color_palette=""), "color_palette", "'' is not one of EMBER"),
    *[
        (kind("x", resolution="1024x1024", aspect_ratio="1x1"), "aspect_ratio", "combined with resolution")
        for kind in (Generate, lambda *args, **fields: Remix(PNG, *args, **fields))
    ],
    (Edit("x", images=[PNG], resolution="1024x1024", aspect_ratio="1x1"), "aspect_ratio", "combined"),
    (LegacyGenerate("x", resolution=SIZE, aspect_ratio="ASPECT_1_1"), "aspect_ratio", "combined with resolution"),
    (LegacyRemix(PNG, "x", resolution=SIZE, aspect_ratio="ASPECT_1_1"), "aspect_ratio", "combined with resolution"),
    (
        ReplaceBackground(PNG, "x", style_codes=["0a1B2c3D"], style_reference_images=[PNG]),
        "style_codes",
        "combined with style_reference_images",
    ),
    (Generate("x", style_codes=["0a1B2c3D"], style_type="AUTO"), "style_codes", "combined with style_type"),
    (GenerateTransparent("x", rendering_speed="FLASH"), "rendering_speed", "'FLASH' is not one of TURBO,"),
    (
        Generate("x", character_reference_images=[PNG] * 2),
        "character_reference_images",
        "accepts at most 1, not 2",
    ),
    *[
        (
            Generate("x", character_reference_images=images, character_reference_images_mask=masks),
            "character_reference_images_mask",
            message,
        )
        for images, masks, message in (
            ([], [GRAY], "one mask for each of 0 images, not 1"),
            ([PNG], [GRAY, GRAY], "one mask for each of 1 images, not 2"),
            ([PNG], [picture(mode="L", size=(8, 8))], "[0] must have the image's size, 64x48 pixels, not 8x8"),
        )
    ],
    *[
        (kind(picture(length=TOO_LARGE)), "image", "has 10485761 bytes")
        for kind in (RemoveBackground, Upscale, Describe, LayerizeText)
    ],
    (Edit("x", images=[PNG, picture(length=TOO_LARGE)]), "images", "[1] has 10485761 bytes"),
    *[
        (Generate("x", **{name: [HALF, HALF]}), name, "have 10485762 bytes in total")
        for name in ("style_reference_images",)
    ],
    (RemoveBackground(b"GIF89a" + bytes(99)), "image", "is not a PNG, JPEG or WebP file"),
    (RemoveBackground(b""), "image", "is empty"),
    (RemoveBackground("nul\0.png"), "image", "embedded null"),
    (RemoveBackground("/"), "image", "cannot be read: Is a directory: /"),
    *[(kind(PNG, OTHER, "x"), "mask", "64x48 pixels, not 32x32") for kind in (Inpaint, LegacyEditV3)],
    (LegacyEdit(PNG, OTHER, "x", model="V_2"), "mask", "64x48 pixels, not 32x32"),
    (Edit("x", images=[PNG] * 11), "images", "accepts at most 10, not 11"),
    (Edit("x", image_urls=[LINK] * 11), "image_urls", "accepts at most 10, not 11"),
    (Edit("x", images=[PNG], image_urls=[LINK]), "image_urls", "combined with images"),
    (Edit("x"), "images", "unless image_urls is set"),
    (Edit("x", images=[], image_urls=[]), "images", "unless image_urls is set"),
    *[
        (Edit("x", image_urls=[link]), "image_urls", "[0] must be a link to an Ideogram image")
        for link in (
            "http://ideogram.ai/x",
            "https://ideogram.ai.evil.com/x",
            "https://notideogram.ai/x",
            "https://ideogram.ai@evil.com/x",
            "https://127.0.0.1/x",
            "https://[bad/x",
            "fox.png",
            "",
        )
    ],
    *[
        (LegacyEdit(PNG, PNG, "x", model=model), "model", f"{model!r} is not one of V_2, V_2_TURBO")
        for model in ("V_1", "V_1_TURBO", "V_2A", "V_2A_TURBO", "AUTO")
    ],
    *[
        (LegacyGenerate("x", negative_prompt="y", model=model), "negative_prompt", f"only, not by {model}")
        for model in ("V_2A", "V_2A_TURBO", "AUTO")
    ],
    *[
        (
            LegacyRemix(PNG, "x", color_palette="EMBER", model=model),
            "color_palette",
            f"is supported by V_2, V_2_TURBO, AUTO only, not by {model}",
        )
        for model in ("V_1", "V_1_TURBO", "V_2A", "V_2A_TURBO")
    ],
    *[
        (LegacyGenerate("x", style_type="ANIME", model=model), "style_type", f"AUTO only, not by {model}")
        for model in ("V_1", "V_1_TURBO")
    ],
    *[
        (
            LegacyGenerate("x", resolution=SIZE, model=model),
            "resolution",
            f"is supported by V_2, V_2_TURBO only, not by {model}",
        )
        for model in ("V_1", "V_2A", "AUTO")
    ],
    *[
        (LegacyReframe(PNG, SIZE, model=model), "resolution", f"V_2, V_2_TURBO only, not by {model}")
        for model in ("V_1", "V_2A", "AUTO")
    ],
    (UploadDatasetAssets("d", [("a.txt", b"x" * TOO_LARGE)]), "files", "[0] has 10485761 bytes"),
    (UploadDatasetAssets("d", [("a.zip", LARGEST + b"xx")]), "files", "[0] has 10485762 bytes"),
    (LegacyGenerate("x", model="V_9", resolution=SIZE), "model", "'V_9' is not one of V_1,"),
    *[
        (TrainModel("d", name), "model_name", "5 to 30 characters")
        for name in ("", "1234", "x" * 31, "Füchse", "red_foxes", "red foxes\n", "red\tfoxes")
    ],
    *[
        (Generate("x", custom_model_uri=uri), "custom_model_uri", "must have the form model/<name>/version/<version>")
        for uri in ("", "model//version/", "model/a/b/version/c", "model/a/version/", f"{URI}\n", f"{URI:1<513}")
    ],
    (CreateDataset(""), "name", "empty"),
    (GetDataset(""), "dataset_id", "empty"),
    (GetModel(".."), "model_id", "cannot be . or .."),
    (UploadDatasetAssets("d", []), "files", "must not be empty"),
    (UploadDatasetAssets("d", [PNG, ("a.gif", b"GIF89a")]), "files", "[1] is not a PNG, JPEG or WebP file, a .txt"),
    (UploadDatasetAssets("d", [PNG] * 101), "files", "accepts at most 100 images, not 101"),
    (UploadDatasetAssets("d", [("a.zip", b"no zip")]), "files", "[0] is not a PNG"),
    (UploadDatasetAssets("d", [("a.zip", b"")]), "files", "[0] is empty"),
    (ListModels(scope="mine"), "scope", "'mine' is not one of owned, shared"),
    (ListModels(status=["TRAINING", "x"]), "status", "[1] 'x' is not one of CREATING"),
    (Reframe(PNG, "1x1"), "resolution", "'1x1' is not one of the 69 ResolutionV3 values"),
    (Describe(PNG, describe_model_version="V_4"), "describe_model_version", "Unchecked('V_4')"),
]

ALLOWED: list[Any] = [
    *[Generate("x", seed=seed) for seed in (0, 2**31 - 1)],
    *[Generate("x", num_images=n) for n in (1, 8)],
    *[Remix(PNG, "x", image_weight=n) for n in (1, 100)],
    *[LegacyRemix(PNG, "x", image_weight=n) for n in (1, 100)],
    *[Upscale(PNG, resemblance=n, detail=n, prompt="") for n in (1, 100)],
    Generate("x" * 100_000, negative_prompt=""),
    Generate("x", style_codes=["0a1B2c3D"], style_preset="WATERCOLOR"),
    Generate("x", style_codes=[], style_type="AUTO", style_reference_images=[PNG]),
    Generate("x", style_codes=["0a1B2c3D"], style_reference_images=[]),
    Generate("x", color_palette=["#abc", ("#ABCDEF", 0.05), ColorPaletteMember("#000", 1), ("#000000", 1.0)] * 2),
    *[Generate("x", color_palette=value) for value in ("#abc", ("#abc", 0.5), ["#abc"], "EMBER", [])],
    GenerateTransparent("x", rendering_speed="TURBO"),
    Generate("x", character_reference_images=[PNG], character_reference_images_mask=[GRAY]),
    Generate("x", character_reference_images=[PNG]),
    *[Generate("x", character_reference_images=[PNG], character_reference_images_mask=[mask]) for mask in MASKS],
    *[Inpaint(PNG, mask, "x") for mask in MASKS],
    *[RemoveBackground(picture(kind)) for kind in ("PNG", "JPEG", "WEBP")],
    RemoveBackground(LARGEST),
    Edit("x", images=[LARGEST] * 10),
    Edit("x", image_urls=[LINK] * 10),
    Edit("x", images=[PNG], image_urls=[]),
    *[Edit("x", image_urls=[link]) for link in ("https://IDEOGRAM.ai/x", "HTTPS://cdn.ideogram.ai/x")],
    Generate("x", style_reference_images=[picture(length=(TOO_LARGE - 1) // 2)] * 2),
    Inpaint(PNG, picture("JPEG"), "x"),
    *[LegacyEdit(PNG, PNG, "x", model=model) for model in ("V_2", "V_2_TURBO")],
    *[LegacyGenerate("x", negative_prompt="y", model=m) for m in (None, "V_1", "V_1_TURBO", "V_2", "V_2_TURBO")],
    *[LegacyGenerate("x", color_palette="EMBER", model=m) for m in (None, "V_2", "V_2_TURBO", "AUTO")],
    *[LegacyGenerate("x", style_type="ANIME", model=m) for m in (None, "V_2", "V_2A", "AUTO")],
    *[LegacyGenerate("x", resolution=SIZE, model=m) for m in (None, "V_2", "V_2_TURBO")],
    LegacyReframe(PNG, SIZE, model="V_2"),
    *[TrainModel("d", name) for name in ("Fox-1", "a b-" + "x" * 26)],
    *[Generate("x", custom_model_uri=uri) for uri in (URI, f"{URI:1<512}")],
    UploadDatasetAssets("d", [("a.txt", b""), ("b.ZIP", archive(a=b"")), picture("WEBP")]),
    UploadDatasetAssets("d", ("fox.png", PNG)),
    UploadDatasetAssets("d", [("a.ZIP", archive().ljust(TOO_LARGE, b"x"))]),
    UploadDatasetAssets("d", [PNG] * 100 + [(f"{n}.txt", b"a fox") for n in range(100)]),
    GetModel("..."),
    GetDataset("a/b?c#d %"),
]

FILE = "must be a path, bytes, a (name, bytes) pair, an open binary file or an image, not"
SURROGATE = "cannot be encoded in UTF-8: {} is an unpaired surrogate"
MEMBER = "must be a hex string, a (hex, weight) pair or a ColorPaletteMember, not"

WRONG_TYPES: list[tuple[Any, str, str]] = [
    (Generate(None), "prompt", "must be a string, not None"),
    (Generate(b"x"), "prompt", "must be a string, not bytes"),
    (Generate("\udc80"), "prompt", SURROGATE.format(r"'\udc80' at 0")),
    (Generate("x", seed=1.0), "seed", "must be a whole number, not float"),
    (Generate("x", seed=True), "seed", "must be a whole number, not bool"),
    (Generate("x", num_images="2"), "num_images", "must be a whole number, not str; did you mean 2?"),
    (
        Generate("x", magic_prompt=True),
        "magic_prompt",
        "must be a value of MagicPromptOption or its string, not bool; did you mean 'ON'?",
    ),
    (
        Generate("x", style_preset="a\ud800"),
        "style_preset",
        SURROGATE.format(r"'\ud800' at 1"),
    ),
    (Generate("x", style_codes="0a1B2c3D"), "style_codes", "must be a list of strings, not str"),
    (Generate("x", style_codes=["0a1B2c3D", 5]), "style_codes", "[1] must be a string, not int"),
    (Generate("x", color_palette=5), "color_palette", f"[0] {MEMBER} int"),
    (Generate("x", color_palette=b"#000"), "color_palette", f"[0] {MEMBER} bytes"),
    (Generate("x", color_palette={"name": "EMBER"}), "color_palette", f"[0] {MEMBER} dict"),
    (Generate("x", color_palette=["#000", "#fff", 5]), "color_palette", f"[2] {MEMBER} int"),
    (Generate("x", color_palette=[("#000", True)]), "color_palette", f"[0] {MEMBER} tuple"),
    (Generate("x", color_palette=[ColorPaletteMember(5)]), "color_palette", f"[0] {MEMBER} ColorPaletteMember"),
    (
        Generate("x", color_palette="\ud800"),
        "color_palette",
        SURROGATE.format(r"'\ud800' at 0"),
    ),
    (Edit("x", images=[PNG], transparent_background=1), "transparent_background", "must be True or False, not int"),
    (Edit("x", images=5), "images", f"[0] {FILE} int"),
    (Edit("x", images=[PNG, None]), "images", f"[1] {FILE} None"),
    (Edit("x", image_urls=LINK), "image_urls", "must be a list of strings, not str"),
    (RemoveBackground(None), "image", f"{FILE} None"),
    (RemoveBackground([PNG]), "image", f"{FILE} list"),
    (RemoveBackground(("fox.png", None)), "image", f"{FILE} None"),
    (RemoveBackground(ImageFile(5)), "image", f"{FILE} int"),
    (
        RemoveBackground(RemoveBackgroundImageObject(is_image_safe=False)),
        "image",
        "is an image without a link: the service withheld it",
    ),
    (UploadDatasetAssets("d", None), "files", f"[0] {FILE} None"),
    (GetModel(5), "model_id", "must be a string, not int"),
    (ListModels(status="TRAINING"), "status", "must be a list of strings, not str"),
    (ListModels(status=[1]), "status", "[0] must be a value of ModelStatus or its string, not int"),
]
