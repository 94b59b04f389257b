"""The shape of the package: who may import whom, what loads when, and what is public."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import ideogram_async

ROOT = Path(ideogram_async.__file__).parent
LEVELS = (
    ("_version", "_lazy", "enums", "errors", "files", "_formats", "_redaction"),
    ("events", "models"),
    ("_operations",),
    ("requests",),
    ("_wire", "_prices"),
    ("_limiter",),
    ("_transport",),
    ("_download",),
    ("_pipeline",),
    ("_batch",),
    ("batch", "_namespaces", "_types", "_client"),
    ("sandbox", "cli", "demo", "integrations", "__main__"),
)
LEVEL_OF = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
# What `from ideogram_async import X` loads is as high as the client.
LEVEL_OF["ideogram_async"] = LEVEL_OF["_client"]
MODULES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")

PUBLIC = {
    "client": """
        Ideogram RunningCall
        Retry Timeout Limiter ImageFile Reply Price LimiterStatistics ColorPaletteMember Unchecked""",
    "requests": """
        Generate GenerateTransparent Inpaint Remix Reframe ReplaceBackground RemoveBackground LayerizeText Edit Upscale
        Describe LegacyGenerate LegacyEditV3 LegacyEdit LegacyRemix LegacyReframe ListDatasets CreateDataset GetDataset
        UploadDatasetAssets TrainModel ListModels GetModel""",
    "answers": """
        ImageGenerationObjectV3 ImageGenerationResponseV3 ImageObject GenerateImageResponse V1EditImageObject
        V1EditImagesResponse RemoveBackgroundImageObject RemoveBackgroundResponse LayerizeTextResponse Description
        DescribeResponse AssetIdentifier Dataset ListDatasetsResponse DatasetFile GetDatasetResponse
        DatasetUploadSucceededAsset DatasetUploadFailedAsset UploadDatasetAssetsResponse TrainDatasetModelResponse
        CustomModel ListModelsResponse GetModelResponse""",
    "enums": """
        ResolutionV3 AspectRatioV3 RenderingSpeed MagicPromptOption ColorPalettePresetName StyleTypeV3 StylePresetV3
        UpscaleFactor StyleType DescribeModelVersion AspectRatio ModelEnum Resolution AssetType
        DatasetAssetFailureReason ModelsGetParametersScope ModelStatus""",
    "errors": """
        Billed IdeogramError InvalidRequestError TransportError NotSentError AmbiguousError APIStatusError
        BadRequestError AuthenticationError PaymentRequiredError PermissionDeniedError NotFoundError SafetyError
        RateLimitError ServerError DecodeError DownloadError LinkExpiredError TruncatedImageError NotAnImageError
        ImageTooLargeError HostRefusedError WithheldImageError FileConflictError""",
    "events": """
        Event Waiting Sending Answered Retrying Throttled Failed Downloaded JobStarted JobFinished
        BatchStopped BatchFinished""",
    "batch": """
        Batch FromJob ImageState Job JobResult JobState Plan Report StoredImage BatchError BatchLockedError
        JobConflictError JournalError""",
}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def imports_of(path: Path) -> set[str]:
    """List what a module imports from the package, in functions too, but not for type checkers only."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []

    found = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    found |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return {name for name in found if name.split(".")[0] == "ideogram_async"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_downwards(path: Path):
    """No module imports from a level above its own."""
    level = LEVEL_OF[room_of(name_of(path))]
    upwards = {name for name in imports_of(path) if LEVEL_OF[room_of(name)] > level}

    assert set() == upwards


def test_no_imports_go_in_circles():
    """There is an order in which every module finds what it imports already there."""
    graph = {name_of(path): imports_of(path) - {"ideogram_async", name_of(path)} for path in MODULES}

    assert len(graph) <= len(list(TopologicalSorter(graph).static_order()))


@pytest.mark.parametrize("heavy", ["aiohttp", "cattrs", "tenacity", "sqlite3", "anyio", "asyncio", "PIL"])
def test_importing_the_client_loads_nothing_heavy(heavy: str):
    """Reading the names of the client and of a request loads no HTTP library, nor what comes with it."""
    script = f"import sys; from ideogram_async import Ideogram, Generate; print({heavy!r} in sys.modules)"
    # Measuring coverage loads a database of its own.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    run = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)

    assert "False\n" == run.stdout


def test_the_public_face_is_what_was_agreed():
    """The package exports the names of its design, and no others."""
    agreed = {name for names in PUBLIC.values() for name in names.split()}

    assert agreed | {"__version__"} == set(ideogram_async.__all__)


@pytest.mark.parametrize("name", ideogram_async.__all__)
def test_every_public_name_loads(name: str):
    """Each exported name can be had, and is listed by `dir`."""
    value = getattr(ideogram_async, name)

    assert value is not None
    assert name in dir(ideogram_async)


def test_an_unknown_name_is_an_attribute_error():
    """A misspelt name fails as in any module."""
    with pytest.raises(AttributeError, match="Ideogrom"):
        ideogram_async.Ideogrom  # noqa: B018


@pytest.mark.parametrize("name", [name for name in ideogram_async.__all__ if name != "__version__"])
def test_every_public_name_is_explained(name: str):
    """Each exported class has words of its own."""
    assert inspect.getdoc(getattr(ideogram_async, name))


def test_every_operation_is_worn_once():
    """Each of the 23 request classes is a method of the client or of one of its groups."""
    from ideogram_async._namespaces import Datasets, Legacy, Models
    from ideogram_async._operations import operations_of

    owners = (ideogram_async.Ideogram, Legacy, Datasets, Models)
    requests = [request.__name__ for owner in owners for request in operations_of(owner).values()]

    assert sorted(PUBLIC["requests"].split()) == sorted(requests)
