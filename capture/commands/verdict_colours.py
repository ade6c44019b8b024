"""How a recording's verdict is coloured, in every command that shows one."""

VERDICT_COLOURS = {"good": "green", "doubtful": "yellow", "bad": "red"}
