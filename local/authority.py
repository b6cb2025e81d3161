"""A certificate authority for loopback TLS.

The program speaks https only. Here it speaks to loopback under a certificate that a real handshake
verifies, so no switch for plain http or for skipped verification exists anywhere.
"""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

import trustme

if TYPE_CHECKING:
    from datetime import datetime


class Authority:
    """An authority that lives in a temporary directory, as long as the ``with`` block.

    ``SSL_CERT_FILE`` set to ``certificate_file`` makes a process trust it, and nothing else.
    """

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="authority-")
        self._authority = trustme.CA()
        self.certificate_file = Path(self._directory.name) / "authority.pem"
        self._authority.cert_pem.write_to_path(self.certificate_file)

    def server_context(
        self, *names: str, clients: ssl.VerifyMode = ssl.CERT_NONE
    ) -> ssl.SSLContext:
        """Return what a server needs to be trusted.

        Args:
            names: The names and addresses it is trusted as; loopback's if none is given. Another
                name makes a server whose certificate is valid and for somebody else.
            clients: Whether it asks its clients for a certificate of this authority, or demands
                one.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._authority.issue_cert(*(names or ("localhost", "127.0.0.1"))).configure_cert(context)
        context.load_verify_locations(self.certificate_file)
        context.verify_mode = clients
        return context

    def client_certificate(
        self, name: str, *, not_after: datetime | None = None
    ) -> tuple[str, str]:
        """Issue a certificate for a client, and return it and its key in PEM.

        Args:
            name: Its common name.
            not_after: Aware; when it expires. In some years if nothing is said.
        """
        issued = self._authority.issue_cert(common_name=name, not_after=not_after)
        chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
        return chain.decode(), issued.private_key_pem.bytes().decode()

    def client_context(self) -> ssl.SSLContext:
        """Return what a client needs to trust servers of this authority, and no others."""
        return ssl.create_default_context(cafile=str(self.certificate_file))

    def close(self) -> None:
        """Remove the files."""
        self._directory.cleanup()

    def __enter__(self) -> Self:
        """Return the authority, which is ready since it was made."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it, whatever happened."""
        self.close()
