"""Start of a run: what it would send, as a dry run and as a question."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

from rich.text import Text

from ideogram_async import Ideogram, JobState, Plan
from ideogram_async._batch.resume import RecordedJob, Resumption, read_recorded
from ideogram_async._batch.workload import Workload
from ideogram_async._plural import pluralize
from ideogram_async._prices import format_usd, parse_usd
from ideogram_async.batch import Folder
from ideogram_async.cli.batch.check import check_jobs, duplicates, print_problems
from ideogram_async.cli.batch.jobs_file import JobsFile
from ideogram_async.cli.batch.options import BatchRunOptions
from ideogram_async.cli.confirm import CONFIRMED_USD, can_ask, confirm
from ideogram_async.cli.console import (
    console,
    format_duration,
    label_line,
    print_json,
    print_label_line,
    spinner,
    to_json_fields,
)
from ideogram_async.cli.exit_codes import Exit
from ideogram_async.errors import JournalError

AGAIN = {
    JobState.REJECTED: "--retry-rejected sends them again",
    JobState.AMBIGUOUS: "see batch status",
    JobState.ACCEPTED: "the run asks for their images",
}


def new_resumption(folder: Path, options: BatchRunOptions) -> Resumption:
    """Return the count of what a run would send, before its jobs are counted."""
    recorded: dict[str, RecordedJob] = {}
    # The run itself refuses a journal that cannot be trusted.
    with suppress(JournalError):
        recorded = read_recorded(folder)

    return Resumption(recorded, retry_ambiguous=options.retry_ambiguous, retry_rejected=options.retry_rejected)


async def confirm_run(client: Ideogram, run: Resumption, plan: Plan) -> None:
    """Ask before a run that costs more than 25 USD, or an unknown amount. Does nothing without a terminal.

    Raises:
        UsageError: If the answer is not yes.
    """
    if (run.sent.usd > CONFIRMED_USD or run.sent.unpriced) and can_ask():
        advice = "To run without a question, pass --yes or a budget, such as --max-cost-usd 5."
        await confirm(_facts(run, plan, client.limiter.statistics().limit), otherwise=advice)


async def print_dry_run(
    client: Ideogram, file: JobsFile, folder: Path, options: BatchRunOptions, *, as_json: bool, is_silent: bool
) -> Exit:
    """Print what a run would send, skip and cost, and every fault of the file. Sends and writes nothing."""
    run = new_resumption(folder, options)

    with spinner(f"Checking {file.path}", is_shown=not is_silent):
        plan, problems = await check_jobs(client, file, run)

    cap, spent = _budget(folder, options)
    if as_json:
        sent = {"jobs": run.sent.jobs, "images": run.sent.images, "usd": run.sent.usd, "unpriced": run.sent.unpriced}
        facts = {"send": sent, "skipped": run.skipped, "max_cost_usd": cap, "spent_usd": spent}
        print_json({"event": "DryRun", "file": file.path, **to_json_fields(plan), **facts, "problems": problems})
    else:
        for line in (*_facts(run, plan, client.limiter.statistics().limit), *_budget_facts(run.sent, cap, spent)):
            print_label_line(console(), line)

    if problems and not as_json:
        print_problems(str(file.path), problems)
    elif not as_json:
        console().print(Text("  Nothing was sent.", "dim"))

    return Exit.USAGE if problems else Exit.OK


def _budget(folder: Path, options: BatchRunOptions) -> tuple[Decimal | None, Decimal]:
    """Return the budget of a run, and the part that earlier runs have used."""
    cap = None if options.max_cost_usd is None else parse_usd("--max-cost-usd", options.max_cost_usd)
    spent = Decimal(0)
    with suppress(JournalError):
        report = Folder(folder).report()
        spent = report.spent_usd + report.in_doubt_usd

    return cap, spent


def _facts(run: Resumption, plan: Plan, slots: float) -> Iterator[Text]:
    sent = run.sent
    yield label_line("jobs", f"{sent.jobs:,} of {plan.jobs:,}" if run.skipped else f"{sent.jobs:,}", "bold")
    for state, count in run.skipped.items():
        yield label_line("skipped", f"{count:,} {state}" + (f"; {AGAIN[state]}" if state in AGAIN else ""))

    unpriced = f", and {pluralize(sent.unpriced, 'job')} of unknown price" if sent.unpriced else ""
    yield label_line("images", f"{sent.images:,}")
    yield label_line("price", f"{format_usd(sent.usd)}{unpriced}", "bold")
    yield label_line("time", f"about {format_duration(sent.seconds / slots)}, with {slots:g} images in flight")
    if sent.jobs:
        yield from duplicates(plan)


def _budget_facts(sent: Workload, cap: Decimal | None, spent: Decimal) -> Iterator[Text]:
    if cap is None:
        return

    before = f"; {format_usd(spent)} spent or in doubt before" if spent else ""
    yield label_line("budget", f"{format_usd(cap)}{before}")
    if sent.usd and spent + sent.usd > cap:
        text = f"covers {format_usd(max(cap - spent, Decimal(0)))} of {format_usd(sent.usd)}; the run stops there"
        yield label_line("", text, "yellow")

    if sent.quotable:
        yield label_line("", f"asks the service for the price of {pluralize(sent.quotable, 'job')}, at no cost")

    if refused := sent.unpriced - sent.quotable:
        yield label_line("", f"refuses {pluralize(refused, 'job')} of unknown price, unpaid", "yellow")
