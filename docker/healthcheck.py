"""HEALTHCHECK of the gateway's image: it is live, on the port that `/health` is served at."""

import http.client
import os
import sys

PORT = int(os.environ.get("GATEWAY_OPERATIONS_PORT", "0"))
connection = http.client.HTTPConnection(
    "127.0.0.1", PORT or int(os.environ.get("GATEWAY_PORT", "8000")), timeout=5
)
connection.request("GET", "/health/live")
sys.exit(connection.getresponse().status != http.HTTPStatus.OK)
