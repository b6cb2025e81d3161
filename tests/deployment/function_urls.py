"""Function URLs of the local AWS under their real names, over TLS.

The emulator serves them without TLS, by the name in the request. A proxy leads whoever asks for
such a name to a server here, which shows a certificate for it and hands the request on.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import urllib3

from local.authorization_server.https import Door, HttpsServer, Reply, Request
from local.embedded_cloud import REGION
from tests.unit.connect_proxy import ConnectProxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.stack import LocalAws

ANY_OF_THEM: Final = f"*.lambda-url.{REGION}.on.aws"


@contextmanager
def function_urls(aws: LocalAws) -> Iterator[ConnectProxy]:
    """Serve them as long as the block, and yield the proxy that leads to them."""
    http = urllib3.PoolManager()

    def hand_on(request: Request) -> Reply:
        answer = http.request(
            request.method,
            aws.cloud.endpoint_url + request.path,
            headers=dict(request.headers),
            body=request.body,
        )
        kind = answer.headers["Content-Type"]
        return Reply(answer.status, (("Content-Type", kind),), answer.data)

    server = HttpsServer(hand_on, aws.server_context(ANY_OF_THEM))
    try:
        with ConnectProxy(server.port) as proxy:
            yield proxy
    finally:
        server.set_door(Door.CLOSED)
        http.clear()
