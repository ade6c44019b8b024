"""The crew's local web page: a process of its own, which asks the recorder like any other program on this machine."""
