"""Runs `specs` and records every file that Python opens, creates, moves or removes, and every process it starts.

python audited.py FILE serve ...        appends a line for each event and its arguments to FILE
"""

import os
import runpy
import sys

NOTED = {
    "open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod",
    "os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect",
}  # fmt: skip
notes = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def note(event: str, args: tuple[object, ...]) -> None:
    if event in NOTED:
        os.write(notes, ascii((event, *args)).encode() + b"\n")


sys.addaudithook(note)
sys.argv[0] = "specs"
runpy.run_module("specs", run_name="__main__", alter_sys=True)
