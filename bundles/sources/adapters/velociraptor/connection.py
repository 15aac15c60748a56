"""One gRPC channel to Velociraptor's API: VQL queries whose rows are streamed, and pieces of stored files.

No answer's text is quoted: gRPC's status codes and the log of a query are read for what they mean. gRPC is imported
when a connection is made, not before.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

from bundles.sources import faults
from bundles.sources.adapters.velociraptor import api_client, tls
from bundles.sources.adapters.velociraptor.options import Options, missing_extra, place_of
from bundles.sources.adapters.velociraptor.query_log import QueryLog
from bundles.sources.client import Dropped
from bundles.sources.faults import Source
from bundles.sources.jsonstream import JsonStream, MalformedError
from bundles.sources.limits import MIB, SourceLimits
from bundles.sources.profiles import System
from bundles.sources.waiting import pace_of

ANSWER_BYTES = 64 * MIB  # of one message; it holds at most `page_records` rows
BATCH_S = 5  # longest time that the server gathers rows for one message
RECONNECT_MS = (100, 1000)
# Field 8 of VFSFileBuffer, `padding`, set to false: the server then sends a sparse file as it stores it, not with its
# gaps filled. The published stubs do not have the field yet; protobuf sends what it does not know as it is.
NO_PADDING = b"\x40\x00"
NEEDS = "give it the role `reader,api` (the permissions READ_RESULTS and ANY_QUERY)"

Heard = Callable[[bytes], None]


class Connection:
    """See the module; used by one thread.

    Args:
        source: named in errors.
        system: where Velociraptor is.
        options: of the system.
        limits: bounds of the collection.

    Raises:
        jobs.errors.PermanentError: the libraries are missing, or the file of the API's user cannot be used.
    """

    def __init__(self, source: Source, system: System, options: Options, limits: SourceLimits) -> None:
        missing = missing_extra()
        if missing:
            raise faults.misconfigured(source, missing)
        try:
            self._client = api_client.load(options.api_client_file)
        except api_client.ApiClientError as error:
            raise faults.misconfigured(source, str(error)) from None
        self.source = source
        self.limits = limits
        self._org = options.org
        self._timeout_s = system.timeout_s
        self._pace = pace_of(system.name, system.requests_per_s)
        self._place = place_of(system.url) or place_of(f"grpc://{self._client.place}")
        if not self._place:
            what = f"api_connection_string in {options.api_client_file} is not host:port."
            raise faults.misconfigured(source, what)
        self.url = f"grpc://{self._place}"
        self._open()

    def _open(self) -> None:
        # gRPC would write what servers say, such as the text of a GOAWAY, to standard error.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        import grpc  # large, and optional
        from pyvelociraptor import api_pb2, api_pb2_grpc

        self._grpc, self._messages = grpc, api_pb2
        credentials = grpc.ssl_channel_credentials(
            root_certificates=self._client.ca,
            private_key=self._client.key,
            certificate_chain=self._client.certificate,
        )
        settings = (
            ("grpc.ssl_target_name_override", self._client.server_name),
            ("grpc.enable_http_proxy", 0),
            ("grpc.service_config_disable_resolution", 1),
            ("grpc.enable_retries", 0),
            ("grpc.max_receive_message_length", ANSWER_BYTES),
            # A reader that resumes asks again soon; gRPC would wait up to two minutes before it connects anew.
            ("grpc.initial_reconnect_backoff_ms", RECONNECT_MS[0]),
            ("grpc.max_reconnect_backoff_ms", RECONNECT_MS[1]),
            ("grpc.min_reconnect_backoff_ms", int(self.limits.connect_s * 1000)),  # the longest wait for a connection
        )
        self._channel = grpc.secure_channel(f"dns:///{self._place}", credentials, settings)
        self._stub = api_pb2_grpc.APIStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *of: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def rows(self, vql: str, env: Mapping[str, str], *, unknown: str, heard: Heard) -> Iterator[Any]:
        """The rows of a query, one by one, as they arrive; a `Refused` in the place of one that is not sound JSON.

        Args:
            vql: the query; values come in `env`, never in its text.
            env: names in the query → their values.
            unknown: the incident's id, for the error if the query's log says that there is no such thing.
            heard: receives the bytes of the rows; may stop the reading.

        Raises:
            jobs.errors.RetryableError: there is no answer, it stopped, or rows are missing from it.
            jobs.errors.PermanentError: the query is refused, or its answer is not rows.
        """
        log = QueryLog()
        received = 0
        try:
            for answer in self._answers(vql, env):
                log.hear(answer.log)
                if answer.Response or answer.HasField("Query"):
                    log.part(answer.query_id, answer.part, answer.total_rows)
                if answer.Response in {"", "null"}:
                    continue
                raw = answer.Response.encode("utf-8")
                heard(raw)
                for row in self._parsed(raw):
                    received += 1
                    yield row
        except Dropped as drop:
            raise faults.unavailable(self.source, str(drop)) from None
        fault = log.fault(self.source, unknown, received)
        if fault is not None:
            raise fault

    def buffer(self, components: Sequence[str], offset: int, length: int, *, wait: bool = False) -> bytes:
        """Bytes of a stored file from an offset; fewer than `length` only at its end. See `buffer_later`.

        Raises:
            Dropped: there is no answer now.
            FileNotFoundError: the file store does not have the file.
            jobs.errors.PermanentError: it is refused.
        """
        return self.received(self.buffer_later(components, offset, length, wait=wait), length)

    def buffer_later(self, components: Sequence[str], offset: int, length: int, *, wait: bool = False) -> Any:
        """Ask for bytes, and let them arrive meanwhile; see `received`.

        Args:
            components: where the file store has the file.
            offset: of the first byte.
            length: the most bytes.
            wait: give a server that is not there now the time of one answer to come back.
        """
        self._pace.wait()
        request = self._messages.VFSFileBuffer(
            components=list(components), offset=offset, length=length, org_id=self._org
        )
        request.MergeFromString(NO_PADDING)
        return self._stub.VFSGetBuffer.future(request, timeout=self._timeout_s, wait_for_ready=wait)

    def received(self, asked: Any, length: int) -> bytes:
        """The bytes that `buffer_later` asked for; raises as `buffer` does."""
        try:
            data = bytes(asked.result().data)
        except self._grpc.RpcError as error:
            if error.code() == self._grpc.StatusCode.NOT_FOUND:
                raise FileNotFoundError from None
            raise self._fault_of(error.code(), begun=False) from None
        if len(data) > length:
            raise faults.invalid(self.source, "it sent more bytes of a file than it was asked for.")
        return data

    def _parsed(self, raw: bytes) -> Iterator[Any]:
        document = JsonStream(iter((raw, b"")))
        try:
            yield from document.records(self.limits.record_bytes)
            document.end()
        except MalformedError as error:
            raise faults.invalid(self.source, f"its rows were refused: {error}.") from None

    def _answers(self, vql: str, env: Mapping[str, str]) -> Iterator[Any]:
        self._pace.wait()
        messages = self._messages
        call = self._stub.Query(
            messages.VQLCollectorArgs(
                Query=[messages.VQLRequest(Name="RansomEye", VQL=vql)],
                env=[messages.VQLEnv(key=key, value=value) for key, value in env.items()],
                max_row=self.limits.page_records,
                max_wait=BATCH_S,
                org_id=self._org,
            )
        )
        patience = _Patience(call, self._timeout_s, self.limits)
        begun = False
        try:
            while True:
                with patience.waiting():
                    answer = next(call, None)
                if answer is None:
                    return
                begun = True
                patience.allow(len(answer.Response))
                yield answer
        except self._grpc.RpcError as error:
            if patience.ended:
                what = "it stopped sending half-way." if begun else "it did not answer in time."
                raise Dropped(what) from None
            raise self._fault_of(error.code(), begun=begun) from None
        finally:
            call.cancel()

    def _fault_of(self, code: Any, *, begun: bool) -> Exception:
        """The error for a gRPC status.

        Args:
            code: the status.
            begun: whether a part of the answer had arrived.
        """
        codes, source = self._grpc.StatusCode, self.source
        if code in {codes.PERMISSION_DENIED, codes.UNAUTHENTICATED}:
            return faults.rejected(source, f"it refuses the API user: {NEEDS}.")
        if code == codes.RESOURCE_EXHAUSTED:
            what = f"one answer has more than {ANSWER_BYTES} bytes, or it is too busy; set a smaller page_records."
            return faults.invalid(source, what)
        if code == codes.UNIMPLEMENTED:
            return faults.rejected(source, "what answers there is not the API of Velociraptor.")
        if code == codes.DEADLINE_EXCEEDED:
            return Dropped("it did not answer in time.")
        if code in {codes.UNAVAILABLE, codes.INTERNAL, codes.CANCELLED, codes.ABORTED}:
            reason = "" if begun else tls.fault(self._place, self._client, min(self._timeout_s, self.limits.connect_s))
            if reason:
                return faults.misconfigured(source, reason)
            return Dropped("its answer broke off half-way." if begun else "it cannot be reached.")
        return faults.rejected(source, f"it refused the request (gRPC status {code.name}).")


class _Patience:
    """Cancels a call that sends nothing for too long, or is too slow in all.

    Args:
        call: what is cancelled.
        stall_s: longest wait for the next message.
        limits: longest wait in all, and the rate that extends it.
    """

    def __init__(self, call: Any, stall_s: float, limits: SourceLimits) -> None:
        self._call = call
        self._stall_s = stall_s
        self._left_s = stall_s * limits.total_factor
        self._rate = limits.least_rate_bytes_s
        self.ended = False

    def allow(self, received_bytes: int) -> None:
        """Count bytes that have arrived."""
        self._left_s += received_bytes / self._rate

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Watch the time that the block takes."""
        timer = threading.Timer(max(0.0, min(self._stall_s, self._left_s)), self._end)
        timer.daemon = True
        timer.start()
        began = time.monotonic()
        try:
            yield
        finally:
            timer.cancel()
            self._left_s -= time.monotonic() - began

    def _end(self) -> None:
        self.ended = True
        self._call.cancel()
