"""The bundles app: its job types, its sweeps, and its live source."""

from django.apps import AppConfig
from django.conf import settings


class BundlesConfig(AppConfig):
    """Registers the bundles app with Django and the queue."""

    name = "bundles"
    verbose_name = "Bundles"

    def ready(self) -> None:
        """Register the job types, the sweeps and the live source."""
        from bundles import services
        from bundles.handlers import after_create, create, verify
        from bundles.intake import read_job, source, store, watch
        from bundles.sources import collect, configured, dependency_status
        from bundles.sources.live import LiveSource
        from bundles.storage import bundle_files, store_identity
        from bundles.timelines import record_index
        from bundles.uploads import quarantine, verify_upload
        from jobs.queue import registry
        from jobs.worker import sweeps

        registry.register(
            registry.JobType(
                name=create.JOB_TYPE,
                title="Create bundle",
                phases=create.PHASES,
                handler=create.create,
                disk_space=bundle_files.room,
                hindrance=store_identity.any_hindrance,  # restored evidence is read from the artifact store
                resubmit=services.resubmit_bundle,
                resubmit_needs="bundles.create_bundle",
                dependency=registry.Dependency(
                    name_of=dependency_status.waits_of_job,
                    title="the sources",
                    is_available=dependency_status.all_answer,
                ),
                summary=after_create.summary,
                offers=after_create.offers,
            )
        )
        registry.register(
            registry.JobType(
                name=verify.JOB_TYPE,
                title="Verify bundle",
                phases=verify.PHASES,
                handler=verify.verify,
                hindrance=store_identity.bundles_hindrance,
                resubmit=services.resubmit_verification,
                resubmit_needs="bundles.verify_bundle",
                summary=verify.summary,
            )
        )
        registry.register(
            registry.JobType(
                name=verify_upload.JOB_TYPE,
                title="Verify uploaded file",
                phases=verify_upload.PHASES,
                handler=verify_upload.verify,
                hindrance=store_identity.bundles_hindrance,
                summary=verify.summary,
            )
        )
        registry.register(
            registry.JobType(
                name=read_job.JOB_TYPE,
                title="Read imported file",
                phases=read_job.PHASES,
                handler=read_job.read,
                hindrance=store_identity.bundles_hindrance,
            )
        )
        sweeps.register("bundles.staging", bundle_files.sweep)
        sweeps.register("bundles.timelines.hidden", record_index.remove_hidden)
        sweeps.register("bundles.uploads.quarantine", quarantine.sweep)
        sweeps.register("bundles.sources", dependency_status.sweep)
        sweeps.register("bundles.intake", store.sweep)
        if settings.ORCH_INTAKE_DIR is not None:
            sweeps.register("bundles.intake.watch", watch.look, often=True)
        collect.register("live", LiveSource.for_payload)
        collect.register(source.NAME, source.of_payload)
        configured.current()  # reads the file of sources, which holds until this process ends
