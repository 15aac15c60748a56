"""The rehydration app."""

from django.apps import AppConfig


class RehydrationConfig(AppConfig):
    """Registers the rehydration app with Django, its job type, its source and its sweep with the apps below."""

    name = "rehydration"
    verbose_name = "Rehydration"

    def ready(self) -> None:
        """Register with the apps below; imported here because the modules need the models."""
        from bundles.sources import collect
        from bundles.storage import store_identity
        from jobs.queue import registry
        from jobs.worker import sweeps
        from rehydration import handler, services, staging
        from rehydration.restored_source import RestoredSource

        registry.register(
            registry.JobType(
                name=handler.JOB_TYPE,
                title="Restore bundle",
                phases=handler.PHASES,
                handler=handler.rehydrate,
                hindrance=store_identity.any_hindrance,
                resubmit=services.resubmit,
                resubmit_needs="rehydration.restore_bundle",
                summary=handler.summary,
            )
        )
        collect.register("restored", lambda _: RestoredSource())
        sweeps.register("restore staging", staging.sweep)
