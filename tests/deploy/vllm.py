#!/usr/bin/env python3
"""A stand-in for the command `vllm` that serves no model, for tests of how servers start and end.

`serve MODEL ... --port P` answers like a server after a while, and starts a child process.
The variable FAKE_VLLM asks for a fault: `die:PORT`, `never:PORT` (never answers) or `stubborn` (ignores SIGTERM).
"""

import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT = sys.argv[sys.argv.index("--port") + 1]
MODE, _, WHOM = os.environ.get("FAKE_VLLM", "").partition(":")
ANSWERS = {
    "/health": "",
    "/metrics": "",
    "/version": {"version": "0"},
    "/openapi.json": {},
    "/v1/models": {"data": [{"id": "m", "max_model_len": 8}]},
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, ANSWERS[self.path])

    def do_POST(self):
        self.answer(404, {})

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass


def main():
    print("started at", time.monotonic(), "for GPUs", os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
    print("key", os.environ.get("VLLM_API_KEY"), flush=True)
    child = subprocess.Popen(["sleep", "600"])
    with Path(os.environ["FAKE_VLLM_PIDS"]).open("a") as pids:
        pids.write(f"{os.getpid()} {child.pid}\n")
    if MODE == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(0.3)
    if (MODE, WHOM) == ("die", PORT):
        raise SystemExit("CUDA out of memory")
    if (MODE, WHOM) == ("never", PORT):
        time.sleep(600)
    print("answers at", time.monotonic(), flush=True)
    ThreadingHTTPServer(("127.0.0.1", int(PORT)), Handler).serve_forever()


main()
