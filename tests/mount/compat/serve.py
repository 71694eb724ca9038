#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""serve.py DIRECTORY: an HTTP server on a free port of 127.0.0.1, which it prints; knows Range: bytes=N-."""
import http.server
import os
import re
import sys


class Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *args):
        super().__init__(*args, directory=sys.argv[1])

    def do_GET(self):
        ranged = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not ranged:
            return super().do_GET()
        path, first = self.translate_path(self.path), int(ranged[1])
        size = os.path.getsize(path)
        with open(path, "rb") as f:
            f.seek(first)
            body = f.read()
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{size - 1}/{size}")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", self.date_time_string(os.path.getmtime(path)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
