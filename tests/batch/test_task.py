"""Decisions about a job: whether it is sent, and whether it is finished."""

from __future__ import annotations

import pytest
from support.folders import image, job

from ideogram_async import Generate, ImageState, InvalidRequestError, JobState
from ideogram_async._batch.options import BatchOptions
from ideogram_async._batch.registration import RegisteredJob
from ideogram_async._batch.task import is_finished, is_sendable


def options(*, retry_ambiguous: bool = False) -> BatchOptions:
    return BatchOptions(
        max_cost_usd=None,
        max_downloads=16,
        retry_ambiguous=retry_ambiguous,
        retry_rejected=False,
        accept_loss=False,
        names=None,
        ordered=False,
        sidecars=False,
        grace=30.0,
        max_uncollected=None,
        accept="auto",
    )


@pytest.mark.parametrize("state", JobState)
@pytest.mark.parametrize("retry_ambiguous", [False, True])
def test_a_pending_job_is_sent_and_an_ambiguous_one_only_on_request(state: JobState, retry_ambiguous: bool):
    """A job in any other state is never sent again."""
    expected = state is JobState.PENDING or (state is JobState.AMBIGUOUS and retry_ambiguous)

    assert expected == is_sendable(job(0, state), options(retry_ambiguous=retry_ambiguous))


def test_an_ambiguous_job_is_resent_once():
    """A job that was resent stays ambiguous."""
    assert not is_sendable(job(0, JobState.AMBIGUOUS, resends=1), options(retry_ambiguous=True))


@pytest.mark.parametrize(
    ("state", "image_state", "expected"),
    [
        (JobState.DONE, ImageState.STORED, True),
        (JobState.PARTIAL, ImageState.EXPIRED, True),
        (JobState.DONE, ImageState.LINKED, False),
        (JobState.ANSWERED, ImageState.LINKED, False),
        (JobState.REJECTED, None, True),
        (JobState.AMBIGUOUS, None, True),
        (JobState.PENDING, None, False),
    ],
)
def test_a_job_is_finished_if_it_has_nothing_to_send_or_download(
    state: JobState, image_state: ImageState | None, expected: bool
):
    """A linked image is downloaded in any state of its job."""
    row = job(0, state)
    images = [] if image_state is None else [image(row, state=image_state)]
    registered = RegisteredJob(row, Generate("fox"), index=0, images=images)

    assert expected == is_finished(registered, options())


def test_an_invalid_job_is_finished():
    """It is rejected without being sent."""
    problem = InvalidRequestError([("prompt", "is empty")])

    assert is_finished(RegisteredJob(job(0, JobState.PENDING), Generate(""), index=0, problem=problem), options())
