"""The program from its first instant: nothing that takes time to load stands above main(), so that Ctrl+C ends it in order."""

import os
import signal
import sys
import types

INTERRUPTED = 130  # the exit code: 128 and the signal's number


def main() -> None:
    """Run the command on sys.argv; commands.py knows them all. Ctrl+C ends it at any time with exit code 130, without a traceback."""
    is_heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # nohup and "&" may want it ignored
    if is_heeded:
        signal.signal(signal.SIGINT, _leave)  # while it loads, nothing has begun
    import commands

    if is_heeded:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    commands.run(sys.argv[1:])


def _leave(_number: int, _frame: types.FrameType | None) -> None:
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
