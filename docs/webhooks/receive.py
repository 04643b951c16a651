"""Receives Tokenwell's webhooks on this machine, and prints those that are signed.

    SECRET=whsec_... python3 receive.py [port]

It needs nothing but Python: it also shows what the Standard Webhooks libraries do for you.
"""

import base64
import hashlib
import hmac
import http.server
import json
import os
import sys
import time

KEY = base64.b64decode(os.environ["SECRET"].removeprefix("whsec_"))
TOLERANCE = 5 * 60  # seconds; an older request may be one that somebody has recorded


def is_genuine(headers, body):
    try:
        message, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
        if abs(time.time() - int(timestamp)) > TOLERANCE:
            return False
        content = f"{message}.{timestamp}.".encode() + body
        signatures = headers["webhook-signature"].split(" ")
    except (AttributeError, TypeError, ValueError):
        return False
    expected = "v1," + base64.b64encode(hmac.digest(KEY, content, hashlib.sha256)).decode()
    # More than one while the secret is rotated.
    return any(hmac.compare_digest(expected.encode(), one.encode()) for one in signatures)


class Handler(http.server.BaseHTTPRequestHandler):
    seen = set()  # a real one keeps them in its database

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if not is_genuine(self.headers, body):
            self.answer(401)
            return
        if self.headers["webhook-id"] not in self.seen:
            event = json.loads(body)
            print(event["type"], json.dumps(event["data"]), flush=True)
            self.seen.add(self.headers["webhook-id"])
        self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 3000), Handler)
print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
server.serve_forever()
