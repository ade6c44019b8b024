"""A feed of no SDK at all: it says that it has a depth camera's streams, and then nothing."""

import json
import time
from typing import Any

SIZE = json.dumps({"width_px": 64, "height_px": 48, "scale_m": 0.001})
STREAMS = (("image", "jpeg", "{}"), ("depth", "z16", SIZE), ("imu", "motion", "{}"))


def feed(config: dict[str, Any], out: Any) -> None:
    out.hello([{"what": what, "encoding": encoding, "description": said} for what, encoding, said in STREAMS])
    time.sleep(60)
