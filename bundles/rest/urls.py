"""The addresses of the API of bundles."""

from django.urls import path

from bundles.rest import api, intake_api, sources_api

urlpatterns = [
    path("sources", sources_api.ProfilesView.as_view(), name="api-sources"),
    path("sources/check", sources_api.CheckView.as_view(), name="api-sources-check"),
    path("intake", intake_api.IntakesView.as_view(), name="api-intakes"),
    path("intake/uploads", intake_api.UploadsView.as_view(), name="api-intake-uploads"),
    path("intake/uploads/finish", intake_api.UploadFinishView.as_view(), name="api-intake-upload-finish"),
    path("intake/mappings", intake_api.MappingsView.as_view(), name="api-intake-mappings"),
    path("intake/mappings/<str:name>", intake_api.MappingView.as_view(), name="api-intake-mapping"),
    path("intake/<str:intake_id>", intake_api.IntakeView.as_view(), name="api-intake"),
    path("intake/<str:intake_id>/bundle", intake_api.IntakeBundleView.as_view(), name="api-intake-bundle"),
    path("intake/<str:intake_id>/preview", intake_api.IntakePreviewView.as_view(), name="api-intake-preview"),
    path("bundle/create", api.BundleCreateView.as_view(), name="api-bundle-create"),
    path("bundles", api.BundlesView.as_view(), name="api-bundles"),
    path("bundles/<str:bundle_id>", api.BundleView.as_view(), name="api-bundle"),
    path("bundles/<str:bundle_id>/manifest", api.BundleManifestView.as_view(), name="api-bundle-manifest"),
    path("bundles/<str:bundle_id>/download", api.BundleDownloadView.as_view(), name="bundle-download"),
    path("bundles/<str:bundle_id>/artifacts", api.BundleArtifactsView.as_view(), name="api-bundle-artifacts"),
    path("bundles/<str:bundle_id>/files/<int:place>", api.BundleFileView.as_view(), name="api-bundle-file"),
    path("bundles/<str:bundle_id>/verify", api.BundleVerifyView.as_view(), name="api-bundle-verify"),
]
