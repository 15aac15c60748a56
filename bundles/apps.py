"""The bundles app: its job types, its sweeps, and its live source."""

from django.apps import AppConfig


class BundlesConfig(AppConfig):
    """Registers the bundles app with Django, and what it does with the queue."""

    name = "bundles"
    verbose_name = "Bundles"

    def ready(self) -> None:
        """Make the job types, sweeps and the live source known."""
        from bundles import again, building, source_watch, storage, stores, uploads, verifying, verifying_upload
        from bundles.sources import collect
        from bundles.sources.live import LiveSource
        from jobs import registry, sweeps

        registry.register(
            registry.JobType(
                name=building.JOB_TYPE,
                title="Create bundle",
                phases=building.PHASES,
                handler=building.create,
                room=storage.room,
                hindrance=stores.any_hindrance,  # what was restored is read from the artifact store
                again=again.bundle_again,
                again_needs="bundles.create_bundle",
            )
        )
        registry.register(
            registry.JobType(
                name=verifying.JOB_TYPE,
                title="Verify bundle",
                phases=verifying.PHASES,
                handler=verifying.verify,
                hindrance=stores.bundles_hindrance,
                again=again.verification_again,
                again_needs="bundles.verify_bundle",
            )
        )
        registry.register(
            registry.JobType(
                name=verifying_upload.JOB_TYPE,
                title="Verify uploaded file",
                phases=verifying_upload.PHASES,
                handler=verifying_upload.verify,
                hindrance=stores.bundles_hindrance,
            )
        )
        sweeps.register("bundles.staging", storage.sweep)
        sweeps.register("bundles.uploads", uploads.sweep)
        sweeps.register("bundles.sources", source_watch.sweep)
        collect.register("live", LiveSource.from_settings)
