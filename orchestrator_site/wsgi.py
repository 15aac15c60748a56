"""The WSGI application that gunicorn serves, behind the gate for client certificates where MTLS_ENABLED is set."""

import os
from pathlib import Path

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orchestrator_site.settings")
application = get_wsgi_application()

from django.conf import settings  # noqa: E402 # only now are the settings ready to be read

if settings.MTLS_ENABLED:
    from orchestrator_site.accounts import mtls

    register = mtls.ClientRegister(mtls.Layout.below(Path(settings.MTLS_CERT_DIR or "")).clients)
    application = mtls.ClientCertificateGate(application, register)  # type: ignore[assignment]
