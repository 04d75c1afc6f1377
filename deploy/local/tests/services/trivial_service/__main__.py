"""``python -m trivial_service serve|migrate``."""

from __future__ import annotations

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Ready, and a status as every service gives it."""
        body = json.dumps({"service": "trivial", "ready": True, "reasons": [], "consumers": []}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serve until SIGTERM; refuse to start or to migrate when the environment says so."""
    verb = sys.argv[1]
    if os.environ.get("TRIVIAL_FAILS") == verb:
        sys.exit(f"{verb}: told to fail")
    if verb == "serve":
        if os.environ.get("TRIVIAL_IS_DEAF"):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        HTTPServer(
            (os.environ["TALLYPORT_HTTP__HOST"], int(os.environ["TALLYPORT_HTTP__PORT"])), _Handler
        ).serve_forever()


main()
