#!/usr/bin/env python3
"""Submit, poll and work with the standard library alone.

    SLUICE_URL=http://127.0.0.1:3000 SLUICE_TOKEN=... ./client.py submit hello '{"name": "World"}'
    ./client.py poll hello 1
    ./client.py work hello
"""
import json
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

URL = os.environ.get("SLUICE_URL", "http://127.0.0.1:3000")
TOKEN = os.environ["SLUICE_TOKEN"]
stopping = threading.Event()


def call(method, path, body=None, headers=None, timeout=60):
    """(status, answer, headers); the status is 0 where no answer came."""
    request = urllib.request.Request(URL + path, method=method, data=None if body is None else json.dumps(body).encode())
    for name, value in {"Authorization": "Bearer " + TOKEN, "Content-Type": "application/json", **(headers or {})}.items():
        request.add_header(name, value)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return response.status, json.load(response), response.headers
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"{}"), error.headers
    except OSError as error:
        return 0, {"detail": str(error)}, {}


def persist(method, path, body=None, headers=None):
    """The same call until it is answered: for what may safely be repeated."""
    while True:
        status, answer, fields = call(method, path, body, headers)
        if status not in (0, 429, 503, 504):
            return status, answer
        stopping.wait(float(fields.get("Retry-After", 1)))


def submit(queue, data):
    # With its key the request may be repeated: it makes one job.
    status, answer = persist("POST", f"/api/queues/{queue}/jobs", {"data": json.loads(data)}, {"Idempotency-Key": str(uuid.uuid4())})
    if status not in (200, 201):
        sys.exit(json.dumps(answer))
    print(answer["jobId"])


def poll(queue, job_id):
    path = f"/api/jobs/status/{queue}/{urllib.parse.quote(job_id, safe='')}"
    while True:
        status, job = persist("GET", path, headers={"Prefer": "wait=20"})
        if status != 200:
            sys.exit(json.dumps(job))
        if job["state"] == "completed":
            print(json.dumps(job["returnvalue"]))
            return
        if job["state"] == "failed":
            sys.exit(job["failedReason"])


class Held:
    """A leased job. A thread keeps its lock; `cancelled` is set when it must stop."""

    def __init__(self, job):
        self.job = job
        self.path = f"/api/queues/{job['queue']}/jobs/{urllib.parse.quote(job['id'], safe='')}/"
        self.cancelled, self.ended = threading.Event(), threading.Event()
        self.interval = max(0.05, (job["lockExpiresAt"] / 1000 - time.time()) / 3)
        threading.Thread(target=self.keep, daemon=True).start()

    def keep(self):
        while not self.ended.wait(self.interval):
            status, answer, _ = call("POST", self.path + "heartbeat", {"token": self.job["token"]})
            if status == 409 or answer.get("cancel"):
                self.cancelled.set()

    def end(self, how, **more):
        status, answer = persist("POST", self.path + how, {"token": self.job["token"], **more})
        self.ended.set()
        if status == 409:
            print(f"{self.job['id']}: not ours any more", file=sys.stderr)
        elif status != 200:
            print(f"{self.job['id']}: {answer}", file=sys.stderr)


def handle(held):
    """The work: replace it by yours, and look at held.cancelled now and then."""
    return "Hello " + held.job["data"]["name"]


def work(queue, worker_id=f"python-{os.getpid()}"):
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    while not stopping.is_set():
        status, answer, fields = call("POST", f"/api/queues/{queue}/lease", {"workerId": worker_id, "wait": 2})
        if status != 200:
            print(answer.get("detail"), file=sys.stderr)
            stopping.wait(float(fields.get("Retry-After", 1)))
            continue
        for job in answer["jobs"]:
            held = Held(job)
            try:
                result = handle(held)
            except Exception as error:  # whatever went wrong is the job's failure, not the worker's
                held.end("fail", reason=f"{type(error).__name__.upper()}: {error}")
            else:
                held.end("complete", returnvalue=result)


if __name__ == "__main__":
    commands = {"submit": submit, "poll": poll, "work": work}
    if len(sys.argv) < 3 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    commands[sys.argv[1]](*sys.argv[2:])
