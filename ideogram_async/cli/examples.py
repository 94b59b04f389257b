"""Examples and exit codes for `--help`. An example runs as it is, where its files, folder and ids exist."""

from __future__ import annotations

import attrs

from ideogram_async._rows.fields import Field, FieldKind, field_kind, fields_of
from ideogram_async.cli.catalog import Command, find_command
from ideogram_async.cli.choices import accepted_values

EXIT_CODES = """Exit codes:

- `0` success
- `1` some jobs failed, or images were withheld or lost
- `2` usage error, or a folder that cannot be used
- `3` some outcomes are unknown and may have been billed; see `batch resolve`
- `4` unfinished: a batch stopped early, or images are still to be downloaded; `batch run` resumes
- `130` interrupted; a batch only by the second Ctrl-C

If several apply, it is the first of 2, 130, 4, 3 and 1."""

WITH_EXIT_CODES = ("batch run", "batch collect", "batch status")

EXAMPLES: dict[str, tuple[str, ...]] = {
    "": ("demo", 'generate "a red fox" -o foxes/', "batch run jobs.csv out/ --sandbox", "doctor"),
    "generate": ('generate "a red fox" --rendering-speed TURBO', 'generate "a red fox" --num-images 4 -o foxes/'),
    "generate-transparent": ('generate-transparent "a red fox" --aspect-ratio 16x9',),
    "inpaint": ('inpaint fox.png mask.png "a green hat" -o hats/',),
    "remix": ('remix fox.png "the fox in snow" --image-weight 70',),
    "reframe": ("reframe fox.png 1280x704",),
    "replace-background": ('replace-background fox.png "a beach at sunset"',),
    "remove-background": ("remove-background fox.png -o cut/",),
    "layerize-text": ("layerize-text poster.png -o layers/",),
    "edit": ('edit "make it snow" --images fox.png',),
    "upscale": ("upscale fox.png --resemblance 80",),
    "describe": ("describe fox.png", "describe fox.png --json"),
    "legacy-generate": ('legacy-generate "a red fox" --model V_2',),
    "legacy-edit-v3": ('legacy-edit-v3 fox.png mask.png "a green hat"',),
    "legacy-edit": ('legacy-edit fox.png mask.png "a green hat" --model V_2',),
    "legacy-remix": ('legacy-remix fox.png "the fox in snow" --image-weight 70',),
    "legacy-reframe": ("legacy-reframe fox.png RESOLUTION_1280_704 --model V_2",),
    "v2": ('v2 generate-46 "a red fox" --size 2048x1024', "v2 describe-4 poster.png --json"),
    "v2 generate-46": (
        'v2 generate-46 "a red fox" --size 2048x1024',
        'v2 generate-46 "a red fox" --quality low --extra background=transparent',
        "v2 generate-46 @poster.json -o posters/",
        'v2 generate-46 "a red fox" --submit',
    ),
    "v2 describe-4": ("v2 describe-4 poster.png", "v2 describe-4 poster.png --json"),
    "v2 custom": ('v2 custom image generate ideogram-4 "prompt=a red fox" num_images=2',),
    "wait": ("wait GENERATION_ID", "wait GENERATION_ID -o foxes/ --timeout 3600"),
    "account": ("account usage --start 2026-01-01 --end 2026-01-31",),
    "account usage": ("account usage --start 2026-01-01 --end 2026-01-31",),
    "datasets": ("datasets list",),
    "datasets list": ("datasets list", "datasets list --json"),
    "datasets create": ("datasets create foxes",),
    "datasets get": ("datasets get DATASET_ID",),
    "datasets upload-assets": ("datasets upload-assets DATASET_ID photos/*.png",),
    "models": ("models list",),
    "models list": ("models list --scope owned",),
    "models get": ("models get MODEL_ID",),
    "models train": ("models train DATASET_ID foxes",),
    "models wait": ("models wait MODEL_ID --timeout 7200",),
    "batch": ("batch plan jobs.csv", "batch run jobs.csv out/ --max-cost-usd 5.00", "batch gallery out/"),
    "batch plan": ("batch plan jobs.csv", "batch plan jobs.jsonl --json"),
    "batch run": (
        "batch run jobs.csv out/ --sandbox",
        "batch run jobs.csv out/ --dry-run",
        "batch run jobs.csv out/ --max-cost-usd 5.00",
    ),
    "batch collect": ("batch collect out/",),
    "batch status": ("batch status out/", "batch status out/ --json"),
    "batch resolve": ("batch resolve out/ fox lost", "batch resolve out/ fox adopt --url LINK"),
    "batch gallery": ("batch gallery out/", "batch gallery out/ --open"),
    "batch export": ("batch export out/ images.csv", "batch export out/ jobs.jsonl"),
    "ledger": ("ledger status calls.sqlite3", "ledger status postgresql://user@host/database"),
    "ledger status": ("ledger status calls.sqlite3", "ledger status calls.sqlite3 --json"),
    "ledger list": ("ledger list calls.sqlite3", "ledger list calls.sqlite3 ambiguous sending --json"),
    "ledger resolve": (
        "ledger resolve calls.sqlite3 order-4711/hero lost",
        "ledger resolve calls.sqlite3 order-4711/hero adopt --url LINK",
    ),
    "ledger forget": ("ledger forget calls.sqlite3 --before 2026-01-31",),
    "estimate": ('estimate generate "a red fox" --num-images 4',),
    "values": ("values", "values style-preset", "values resolution --json"),
    "--install-completion": ("--install-completion", "--install-completion zsh"),
    "doctor": ("doctor", "doctor out/ --json"),
}
"""Arguments by command. The first example of an operation has no option that is not a field of its request.

An operation that is not listed has an example made from its required fields.
"""


def epilogue(command: str) -> str:
    """Return the end of the help of a command, as Markdown."""
    lines = [f"- `ideogram-async {arguments}`" for arguments in examples_of(command)]
    title = "Example:" if len(lines) == 1 else "Examples:"
    examples = "\n".join([title, "", *lines])
    return f"{examples}\n\n{EXIT_CODES}" if command in WITH_EXIT_CODES else examples


def examples_of(command: str) -> tuple[str, ...]:
    """Return the arguments of each example of a command. `estimate` takes the first one of the operation."""
    operation = command.removeprefix("estimate ")
    examples = EXAMPLES.get(operation) or (_example(find_command(operation)),)
    if operation == command:
        return examples

    arguments, _, _ = examples[0].partition(" -o ")
    return (f"estimate {arguments}",)


def _example(command: Command) -> str:
    required = [field for field in fields_of(command.request).values() if field.default is attrs.NOTHING]
    return " ".join([command.full_name, *map(_sample, required)])


def _sample(field: Field) -> str:
    if field_kind(field) is FieldKind.FILE:
        return "mask.png" if field.name == "mask" else "fox.png"

    return next(iter(accepted_values(field)), '"a red fox"')
