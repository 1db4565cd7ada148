"""An HTTP worker as a program of its own: http_worker.py FOLDER-OF-THE-CLIENT QUEUE NAME SECONDS|stop

It is the example client with work that takes up to SECONDS, and says what it begins. With "stop" its work is to stop the whole process
(SIGSTOP), heartbeats and all, until somebody continues it.
"""
import os
import random
import signal
import sys
import time

folder, queue, name, seconds = sys.argv[1:]
sys.path.insert(0, folder)
sys.dont_write_bytecode = True
import client  # noqa: E402


def handle(held):
    print("began", held.job["id"], flush=True)
    if seconds == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    else:
        time.sleep(random.random() * float(seconds))
    return {"by": name}


client.handle = handle
client.work(queue, name)
