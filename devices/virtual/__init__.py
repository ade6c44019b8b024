"""The virtual rig: a ray-cast street with exact truth whose sensors speak real protocols on loopback.

    render(cache) -> VirtualTakes          devices/virtual/takes.py
    python -m devices.virtual.play CACHE TAKE --sent SENT.json

Times inside a take (``t_ns``) count from the take's start, on an ideal clock; playing maps them to the host's clock and each
sensor's own. The truth (truth.json, read by devices/virtual/truth.py) is for scorecards and tests alone.
"""
