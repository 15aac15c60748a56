"""The API of jobs: list, get, cancel, retry. Each method parses, calls one service and translates the answer."""

from __future__ import annotations

from django.urls import reverse
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from foundation.principal import Principal
from foundation.strict_input import NoBody, PageQuery, StrictBooleanField, StrictSerializer, body_of, query_of
from jobs import services
from jobs.job_json import as_dict
from jobs.models import Job, Status
from jobs.queue.job_result import Enqueued
from jobs.rest.api_shapes import JobShape, JobsPage

TAG = ["Jobs"]


class JobsQuery(PageQuery):
    """Filters of the list of jobs; an empty one filters nothing."""

    status: serializers.ChoiceField = serializers.ChoiceField(
        choices=Status.choices, required=False, allow_blank=True, default=""
    )
    type = serializers.RegexField(
        r"\A[a-z][a-z_]{0,63}\Z", required=False, allow_blank=True, default="", help_text="a job type"
    )
    incident_id = serializers.CharField(required=False, allow_blank=True, default="", max_length=128)


class RetryBody(StrictSerializer):
    """How to retry; an empty body retries at once."""

    when_available = StrictBooleanField(
        required=False,
        default=False,
        help_text="first check what the job needs from outside, such as the sources, and wait while that is away",
    )


class JobsView(APIView):
    """`/jobs`."""

    @extend_schema(
        operation_id="list_jobs",
        tags=TAG,
        summary="List jobs, newest first",
        parameters=[JobsQuery],
        responses=JobsPage,
    )
    def get(self, request: Request) -> Response:
        """One page of jobs."""
        query = query_of(request, JobsQuery)
        found = services.page(
            principal_of(request),
            status=query["status"],
            job_type=query["type"],
            incident_id=query["incident_id"],
            cursor=query["cursor"],
            limit=query["limit"],
        )
        return Response({"jobs": [as_dict(job) for job in found.items], "next": found.next or None})


class JobView(APIView):
    """`/jobs/{job_id}`."""

    @extend_schema(
        operation_id="get_job", tags=TAG, summary="One job: its state, progress and result", responses=JobShape
    )
    def get(self, request: Request, job_id: str) -> Response:
        """One job."""
        return Response(as_dict(services.get(principal_of(request), job_id)))


class JobCancelView(APIView):
    """`/jobs/{job_id}/cancel`."""

    @extend_schema(
        operation_id="cancel_job",
        tags=TAG,
        summary="Cancel a queued job, or ask a running one to stop",
        request=None,
        responses={200: OpenApiResponse(JobShape, "The job; a running one has `cancel_requested` until it stops.")},
    )
    def post(self, request: Request, job_id: str) -> Response:
        """Cancel one job."""
        body_of(request, NoBody)
        return Response(as_dict(services.cancel(principal_of(request), job_id)))


class JobRetryView(APIView):
    """`/jobs/{job_id}/retry`."""

    @extend_schema(
        operation_id="retry_job",
        tags=TAG,
        summary="Queue a failed or cancelled job again",
        request=RetryBody,
        responses={200: OpenApiResponse(JobShape, "The job, queued.")},
    )
    def post(self, request: Request, job_id: str) -> Response:
        """Retry one job."""
        body = body_of(request, RetryBody)
        return Response(as_dict(services.retry(principal_of(request), job_id, when_available=body["when_available"])))


def principal_of(request: Request) -> Principal:
    """Who makes the request, as set by the authenticator; no view is reached without one."""
    principal = getattr(request, "principal", None)
    if not isinstance(principal, Principal):
        raise TypeError("no authenticator has set the principal")
    return principal


def accepted(enqueued: Enqueued, **fields: str) -> Response:
    """The answer to a request for work: 202 for a new job, 200 for an existing one, its URL in Location."""
    return accepted_job(enqueued.job, created=enqueued.created, **fields)


def accepted_job(job: Job, *, created: bool, **fields: str) -> Response:
    """As `accepted`, for a job; `fields` follow id and state."""
    return Response(
        {"job_id": str(job.job_id), "status": str(job.status), **fields},
        status=202 if created else 200,
        headers={"Location": reverse("api-job", args=[job.job_id])},
    )
