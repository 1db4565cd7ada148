# A program on a terminal of its own: terminal.py ROWS COLUMNS PROGRAM ARGUMENTS...
#
# What the program writes goes to stdout. Lines of stdin are JSON: {"keys": "q"} is typed, {"size": [rows, columns]} changes the window.
# At its end one JSON line on stderr: {"code": its exit code, "restored": whether the terminal's settings are as before}.
import fcntl
import json
import os
import select
import struct
import sys
import termios

rows, columns, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]


def resize(fd, height, width):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


master, slave = os.openpty()
resize(slave, rows, columns)
before = termios.tcgetattr(slave)
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)
    os.close(master)
    os.execvp(program[0], program)
commands, watched = b"", [0, master]
ended = None
while ended is None:
    ready, _, _ = select.select(watched, [], [], 0.05)
    if 0 in ready:
        piece = os.read(0, 65536)
        if not piece:
            watched.remove(0)
        commands += piece
        *lines, commands = commands.split(b"\n")
        for command in map(json.loads, lines):
            if "keys" in command:
                os.write(master, command["keys"].encode())
            else:
                resize(master, *command["size"])
    if master in ready:
        os.write(1, os.read(master, 65536))
    elif os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        ended = os.waitpid(pid, 0)[1]
after = termios.tcgetattr(slave)
print(json.dumps({"code": os.waitstatus_to_exitcode(ended), "restored": after == before}), file=sys.stderr)
