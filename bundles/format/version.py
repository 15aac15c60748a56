"""The version of the product, kept here only: the packaging, the settings and each bundle's `generator` read it.

The versions of the bundle format are another thing: see `bundles.format.model.manifest` and `reading.legacy`.
"""

PRODUCT_VERSION = "1.0.0"
