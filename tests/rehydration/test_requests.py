"""What a request for a restore may name, who may ask, and which job answers it."""

from __future__ import annotations

import os
from typing import Any

import pytest
from django.utils.timezone import now

from bundles.models import Bundle
from custody.models import Event
from foundation.errors import AccessDeniedError
from foundation.principal import SYSTEM, Principal
from jobs.errors import IdempotencyKeyReusedError
from jobs.models import Job
from rehydration import services
from rehydration.errors import BundlePathInvalidError, RestoreRequestError, SignatureRequiredError
from tests.support.rehydration_incident import INCIDENT, Incident, restore, run, tree

pytestmark = pytest.mark.django_db(transaction=True)
asks_only = pytest.mark.django_db(transaction=False)  # no job runs: each test may end in a rollback, which is quick

OPERATOR = Principal(
    name="olga",
    authenticated_by="session",
    permissions=frozenset({"rehydration.restore_bundle", "bundles.view_bundle"}),
)
TRUSTED = Principal(
    name="tom",
    authenticated_by="session",
    permissions=frozenset({"rehydration.restore_bundle", "rehydration.skip_signature"}),
)


@pytest.fixture
def traps(orch):
    """Everything in and around OUTPUT_DIR that is no bundle file of ours."""
    outside = orch.root / "outside"
    outside.mkdir()
    (outside / "b.tar.zst").write_bytes(b"outside")
    (orch.output_dir / "b.tar.zst").write_bytes(b"bundle")
    (orch.output_dir / "folder").mkdir()
    (orch.output_dir / "folder" / "in.tar.zst").write_bytes(b"bundle")
    (orch.output_dir / "link.tar.zst").symlink_to(outside / "b.tar.zst")
    (orch.output_dir / "inner.tar.zst").symlink_to("b.tar.zst")
    (orch.output_dir / "way").symlink_to(outside)
    os.mkfifo(orch.output_dir / "pipe.tar.zst")
    return orch


@asks_only
@pytest.mark.parametrize(
    "path",
    [
        "../outside/b.tar.zst", "folder/../b.tar.zst", "./../outside/b.tar.zst", "..", ".", "/", "/etc/passwd",
        "missing.tar.zst", "folder", "folder/", "link.tar.zst", "inner.tar.zst", "way/b.tar.zst", "pipe.tar.zst",
        "b.tar.zst/x", "b.tar.zst\x00", "\x00", "\ud800", "x" * 300, "x/" * 3000, "{out}", "{out}/../outside/b.tar.zst",
        "{root}/outside/b.tar.zst", "{out}x/b.tar.zst", 7, None, ["b.tar.zst"], b"b.tar.zst",
    ],
)  # fmt: skip
def test_a_path_that_is_no_bundle_file_of_ours_is_refused_and_nothing_is_written(traps, path):
    if isinstance(path, str):
        path = path.replace("{out}", str(traps.output_dir)).replace("{root}", str(traps.root))
    expected = RestoreRequestError if path is None else BundlePathInvalidError
    with pytest.raises(expected):
        services.request_restore(SYSTEM, bundle_path=path)
    assert not Job.objects.exists()
    assert not Event.objects.exists()


@asks_only
def test_every_refused_path_reads_the_same(traps):
    said = set()
    for path in ("missing", "folder", "link.tar.zst", "/etc/passwd", "/etc/nothing-there"):
        with pytest.raises(BundlePathInvalidError) as refused:
            services.request_restore(SYSTEM, bundle_path=path)
        said.add((refused.value.code, str(refused.value)))
    assert len(said) == 1


@asks_only
def test_a_path_may_be_relative_or_absolute_and_in_a_folder(traps):
    for path in ("b.tar.zst", "./b.tar.zst", str(traps.output_dir / "b.tar.zst")):
        assert services.request_restore(SYSTEM, bundle_path=path).bundle_path == "b.tar.zst"
    assert services.request_restore(SYSTEM, bundle_path="folder/in.tar.zst").bundle_path == "folder/in.tar.zst"


def test_a_file_that_became_a_link_after_the_request_is_refused(traps):
    services.request_restore(SYSTEM, bundle_path="folder/in.tar.zst")
    (traps.output_dir / "folder" / "in.tar.zst").unlink()
    (traps.output_dir / "folder" / "in.tar.zst").symlink_to(traps.root / "outside" / "b.tar.zst")
    job = run()
    assert (job.status, job.error_code) == ("failed", "bundle_path_invalid")


@asks_only
def test_either_a_path_or_an_id_is_needed_and_a_plan_digest_is_a_digest(traps):
    wrong: list[dict[str, Any]] = [
        {}, {"bundle_path": "b.tar.zst", "bundle_id": "x"}, {"bundle_path": "b.tar.zst", "plan_digest": "x"},
    ]  # fmt: skip
    for asked in wrong:
        with pytest.raises(RestoreRequestError):
            services.request_restore(SYSTEM, **asked)


@asks_only
def test_who_may_not_restore_is_refused_before_anything_is_looked_at(orch):
    viewer = Principal(name="vera", authenticated_by="session", permissions=frozenset({"bundles.view_bundle"}))
    with pytest.raises(AccessDeniedError):
        services.request_restore(viewer, bundle_path="../x")


def test_a_registered_bundle_can_be_named_by_its_id(orch):
    written = Incident().bundle(orch, "b.tar.zst")
    bundle = Bundle.objects.create(
        incident_id=INCIDENT, name="b.tar.zst", size=written.size, sha256=written.sha256, created_at=now(),
        created_by="x", source="live", compression="zstd", key_id=written.key_id, complete=True, files=1, total_bytes=1,
        content_digest=written.manifest.content_digest, manifest_hash=written.manifest.manifest_hash,
    )  # fmt: skip
    requested = services.request_restore(OPERATOR, bundle_id=str(bundle.bundle_id))
    assert (requested.bundle_path, requested.job.incident_id) == ("b.tar.zst", INCIDENT)
    assert run().status == "completed"
    assert Event.objects.get(action="bundle.verified").object_id == str(bundle.bundle_id)


@asks_only
def test_an_equal_restore_that_is_active_answers_instead_of_a_second_one(traps):
    first = services.request_restore(SYSTEM, bundle_path="b.tar.zst")
    second = services.request_restore(OPERATOR, bundle_path="./b.tar.zst")
    planned = services.request_restore(SYSTEM, bundle_path="b.tar.zst", dry_run=True)
    assert (first.created, second.created, planned.created) == (True, False, True)
    assert first.job.job_id == second.job.job_id != planned.job.job_id
    assert Event.objects.filter(action="incident.restore").count() == 2


@asks_only
def test_a_key_stands_for_one_request(traps):
    first = services.request_restore(SYSTEM, bundle_path="b.tar.zst", idempotency_key="k")
    assert services.request_restore(SYSTEM, bundle_path="b.tar.zst", idempotency_key="k").job == first.job
    with pytest.raises(IdempotencyKeyReusedError):
        services.request_restore(SYSTEM, bundle_path="folder/in.tar.zst", idempotency_key="k")


@asks_only
@pytest.mark.parametrize(("allowed", "principal"), [(False, SYSTEM), (False, TRUSTED), (True, OPERATOR)])
def test_the_signature_is_skipped_only_where_site_and_rights_allow(traps, settings, allowed, principal):
    settings.ORCH_ALLOW_UNSIGNED_RESTORE = allowed
    with pytest.raises(SignatureRequiredError):
        services.request_restore(principal, bundle_path="b.tar.zst", verify_signature=False)
    assert not Job.objects.exists()


def untrust(orch):
    for key in orch.trusted.iterdir():
        key.unlink()


def test_a_skipped_signature_is_told_and_hashes_count_all_the_same(orch, settings):
    settings.ORCH_ALLOW_UNSIGNED_RESTORE = True
    Incident().bundle(orch, "b.tar.zst")
    untrust(orch)
    job = restore("b.tar.zst", verify_signature=False)
    assert (job.status, job.result["signature_checked"]) == ("completed", False)
    assert Event.objects.filter(action="signature.skipped", outcome="requested").exists()
    assert not Event.objects.filter(action="bundle.verified").exists()
    file = orch.output_dir / "b.tar.zst"
    content = bytearray(file.read_bytes())
    content[len(content) * 3 // 4] ^= 1
    file.write_bytes(content)
    before = tree(orch.forensic)
    assert restore("b.tar.zst", verify_signature=False).status == "failed"
    assert tree(orch.forensic) == before


def test_a_signature_skipped_when_asked_is_refused_when_the_site_has_changed_its_mind(orch, settings):
    settings.ORCH_ALLOW_UNSIGNED_RESTORE = True
    Incident().bundle(orch, "b.tar.zst")
    services.request_restore(SYSTEM, bundle_path="b.tar.zst", verify_signature=False)
    settings.ORCH_ALLOW_UNSIGNED_RESTORE = False
    job = run()
    assert (job.status, job.error_code) == ("failed", "signature_required")
    assert tree(orch.forensic) == {}
