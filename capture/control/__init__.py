"""How other programs on this machine steer a running recorder: its page, `fieldrig mark`, a robot's task runner.

The recorder listens on loopback and leaves its port and a secret in the workspace: recordings/.recorder-RIG.json, readable by its owner
only. A request is one JSON line, ``{"token": "...", "do": "mark", "text": "door closed"}``; the answer is one line,
``{"ok": true, ...}`` or ``{"ok": false, "error": "..."}``. ``watch`` answers with a line a state until the caller hangs up; ``preview``'s line
says the packets' stamps and sizes, and their bytes follow.
"""
