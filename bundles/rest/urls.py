"""The addresses of the API of bundles."""

from django.urls import path

from bundles.rest import api, sources_api

urlpatterns = [
    path("sources", sources_api.ProfilesView.as_view(), name="api-sources"),
    path("sources/check", sources_api.CheckView.as_view(), name="api-sources-check"),
    path("bundle/create", api.BundleCreateView.as_view(), name="api-bundle-create"),
    path("bundles", api.BundlesView.as_view(), name="api-bundles"),
    path("bundles/<str:bundle_id>", api.BundleView.as_view(), name="api-bundle"),
    path("bundles/<str:bundle_id>/manifest", api.BundleManifestView.as_view(), name="api-bundle-manifest"),
    path("bundles/<str:bundle_id>/download", api.BundleDownloadView.as_view(), name="bundle-download"),
    path("bundles/<str:bundle_id>/artifacts", api.BundleArtifactsView.as_view(), name="api-bundle-artifacts"),
    path("bundles/<str:bundle_id>/files/<int:place>", api.BundleFileView.as_view(), name="api-bundle-file"),
    path("bundles/<str:bundle_id>/verify", api.BundleVerifyView.as_view(), name="api-bundle-verify"),
]
