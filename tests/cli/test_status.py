"""Status of a folder: how many jobs of the input are recorded, and what remains to be done."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.commands import Invoke
from support.folders import image, job, write_folder

from ideogram_async import ImageState, JobState
from ideogram_async._batch.journal.rows import JobRow
from ideogram_async._batch.report import InputSize

TRIED = "2026-01-01T00:00:00.000+00:00"
DONE = [job(number) for number in range(3)]
PENDING = [job(number, JobState.PENDING) for number in range(3, 10)]
REJECTED = job(10, JobState.REJECTED, status=422, raw=b'{"error": "unsafe"}')
AMBIGUOUS = job(11, JobState.AMBIGUOUS)
ANSWERED = job(12, JobState.ANSWERED)


@pytest.mark.parametrize(
    ("jobs", "size", "line", "advice"),
    [
        (DONE, InputSize(3, True), "3, all done", ""),
        (DONE, None, "3, all done", ""),
        (
            DONE,
            InputSize(5000, False),
            "3 of 5,000 done",
            "not read to its end; run the same command for the other 4,997",
        ),
        (DONE, InputSize(None, False), "3 done", "not read to its end; run the same command to resume"),
        (DONE, InputSize(4, True), "3 of 4 done", "1 job of the input not recorded because of errors; correct them"),
        ([], InputSize(7, False), "none of 7", "run the same command for the other 7 jobs"),
        (
            [*DONE, *PENDING],
            InputSize(30, False),
            "10 of 30: 3 done, 7 pending",
            "run the same command for the other 27",
        ),
        (
            [*DONE, *PENDING],
            InputSize(10, True),
            "10: 3 done, 7 pending",
            "7 pending jobs; run the same command to send",
        ),
        ([*DONE, REJECTED], None, "4: 3 done, 1 rejected", "To send them unchanged, add --retry-rejected"),
        ([AMBIGUOUS], None, "1: 1 ambiguous", "ideogram-async batch resolve out row-11 lost|retry|adopt"),
        ([ANSWERED], None, "1: 1 answered", "ideogram-async batch collect out"),
    ],
)
def test_each_state_says_what_to_do_next(
    invoke: Invoke, tmp_path: Path, jobs: list[JobRow], size: InputSize | None, line: str, advice: str
):
    """The status states the next step for each state; there is none if all jobs of the input are done."""
    images = [image(row, state=ImageState.LINKED, problem="cut", tried_at=TRIED) for row in jobs if row is ANSWERED]
    write_folder(tmp_path / "out", jobs, images, size=size)
    out = invoke("batch", "status", "out").out

    assert f"  jobs      {line}\n" in out
    assert advice in out
    assert advice or "  next" not in out


def test_json_has_the_size_of_the_input(invoke: Invoke, tmp_path: Path):
    """`--json` prints the size of the input, and whether a batch is running."""
    write_folder(tmp_path / "out", DONE, size=InputSize(5000, is_complete=False))
    (event,) = invoke("batch", "status", "out", "--json").events

    assert {"jobs": 5000, "is_complete": False} == event["input"]
    assert event["running"] is False


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("row-l1", "out has no job 'row-l1'; did you mean 'row-11'?\n"),
        ("ROW11", "out has no job 'ROW11'; did you mean 'row-11'?\n"),
        ("nothing-alike", "out has no job 'nothing-alike'\n"),
    ],
)
def test_an_unknown_job_is_answered_by_the_closest_one(invoke: Invoke, tmp_path: Path, name: str, hint: str):
    """`batch resolve` names the closest job among those that can be resolved, and lists them."""
    write_folder(tmp_path / "out", [*DONE, *PENDING, AMBIGUOUS])
    completed = invoke("batch", "resolve", "out", name, "retry")

    assert 2 == completed.code
    assert hint in completed.err
    assert "Ambiguous jobs: 'row-11'." in completed.err


@pytest.mark.parametrize(
    ("jobs", "size", "code"),
    [
        (DONE, InputSize(3, True), 0),
        (DONE, InputSize(5000, False), 4),
        ([], InputSize(7, False), 4),
        ([*DONE, *PENDING], InputSize(10, True), 4),
        ([*DONE, REJECTED], None, 1),
        ([REJECTED, *PENDING], None, 4),
        ([*DONE, AMBIGUOUS], None, 3),
    ],
)
def test_the_exit_code(invoke: Invoke, tmp_path: Path, jobs: list[JobRow], size: InputSize | None, code: int):
    """It is 4 if the same command would send more: the list was not read to its end, or jobs are pending."""
    write_folder(tmp_path / "out", jobs, size=size)

    assert code == invoke("batch", "status", "out").code
    assert code == invoke("batch", "status", "out", "--json").events[0]["exit"]
