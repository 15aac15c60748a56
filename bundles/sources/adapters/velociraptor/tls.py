"""Says why a TLS connection to a gRPC server fails, which gRPC itself says only in words that change.

A connection is made once more with Python's own TLS, with the same certificates and the same pinned name. An HTTP/2
server that accepts the client speaks first, so one answer decides.
"""

from __future__ import annotations

import os
import socket
import ssl

from bundles.sources.adapters.velociraptor.api_client import MAKE_ANEW, ApiClient


def fault(place: str, client: ApiClient, timeout_s: float) -> str:
    """What is wrong with the certificates, in one sentence; empty if it is something else, and on other than Linux.

    Args:
        place: `host:port`.
        client: certificates, key, and the server's name.
        timeout_s: longest wait for each step.
    """
    if not hasattr(os, "memfd_create"):  # which only Linux has
        return ""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])
    host, _, port = place.rpartition(":")
    try:
        context.load_verify_locations(cadata=client.ca.decode("ascii"))
        _load_identity(context, client)
        with socket.create_connection((host.strip("[]"), int(port)), timeout_s) as plain:
            try:
                with context.wrap_socket(plain, server_hostname=client.server_name) as secure:
                    return "" if _speaks(secure) else f"the server refuses the client certificate; {MAKE_ANEW}."
            except ssl.SSLCertVerificationError as error:
                words = error.verify_message
                reason = f"its name is not {client.server_name}" if "ostname" in words else words
                return f"the server's TLS certificate is not accepted: {reason}."
            except ssl.SSLError as error:
                if "ALERT" in (error.reason or ""):
                    return f"the server refuses the client certificate ({error.reason}); {MAKE_ANEW}."
                return f"the TLS connection failed ({error.reason})."
    except (OSError, ValueError):
        return ""


def _speaks(secure: ssl.SSLSocket) -> bool:
    """Whether the server sends something after the handshake, as it does once it has accepted the client."""
    try:
        return bool(secure.recv(1))
    except TimeoutError:
        return True
    except ConnectionResetError:
        return False


def _load_identity(context: ssl.SSLContext, client: ApiClient) -> None:
    """Give the context certificate and key by way of a file in memory, as it takes them from files only."""
    if not hasattr(
        os, "memfd_create"
    ):  # only Linux has such files; elsewhere the server's certificate alone is checked
        return
    descriptor = os.memfd_create("client")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(client.key + b"\n" + client.certificate)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
