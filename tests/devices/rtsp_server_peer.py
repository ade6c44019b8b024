"""A camera's RTSP server, for the system's Python: gst-rtsp-server with numbered pictures.

    rtsp_server_peer.py PORT CODEC FOLDER [--drop-every N] [--frames N] [--user NAME --password WORD [--basic]]

Prints its port. FOLDER/frames.jsonl gets a line a picture: its number, when it was taken (ns, UTC), and, as they go into the payloader,
the first two bytes and the hashes of its NAL units. FOLDER/dropped holds how many RTP packets were thrown away on purpose.
"""

import argparse
import hashlib
import json
import re
import sys
import time
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

WIDTH, HEIGHT, BLOCK, RATE_HZ = 256, 64, 16, 25
ENCODERS = {
    "h264": "x264enc tune=zerolatency key-int-max=10 bitrate=2000 ! video/x-h264,profile=main ! h264parse",
    "h265": "x265enc tune=zerolatency key-int-max=10 log-level=none ! h265parse",
}


class Camera:
    def __init__(self, arguments):
        self.arguments = arguments
        self.log = (Path(arguments.folder) / "frames.jsonl").open("w")
        self.taken_ns = {}
        self.sent = self.dropped = 0
        server = GstRtspServer.RTSPServer()
        server.set_address("127.0.0.1")
        server.set_service(str(arguments.port))
        factory = GstRtspServer.RTSPMediaFactory()
        codec = arguments.codec
        factory.set_launch(
            f"( appsrc name=source is-live=true format=time do-timestamp=true"
            f" caps=video/x-raw,format=GRAY8,width={WIDTH},height={HEIGHT},framerate={RATE_HZ}/1"
            f" ! videoconvert ! video/x-raw,format=I420 ! {ENCODERS[codec]}"
            f" ! video/x-{codec},stream-format=byte-stream,alignment=au ! rtp{codec}pay name=pay0 pt=96 mtu=400 )"
        )
        factory.connect("media-configure", self.configure)
        server.get_mount_points().add_factory("/camera", factory)
        if arguments.user:
            self.ask_for_password(server, factory)
        server.attach(None)
        self.server = server

    def ask_for_password(self, server, factory):
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "user")
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("user", "media.factory.access", True)
        permissions.add_permission_for_role("user", "media.factory.construct", True)
        factory.set_permissions(permissions)
        auth = GstRtspServer.RTSPAuth()
        if self.arguments.basic:
            basic = GstRtspServer.RTSPAuth.make_basic(self.arguments.user, self.arguments.password)
            auth.add_basic(basic, token)
        else:
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
            auth.add_digest(self.arguments.user, self.arguments.password, token)
        server.set_auth(auth)

    def configure(self, factory, media):
        element = media.get_element()
        source, payloader = element.get_by_name("source"), element.get_by_name("pay0")
        payloader.get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, self.note)
        if self.arguments.drop_every:
            kinds = Gst.PadProbeType.BUFFER | Gst.PadProbeType.BUFFER_LIST
            payloader.get_static_pad("src").add_probe(kinds, self.drop)
        self.number = 0
        GLib.timeout_add(1000 // RATE_HZ, self.push, source)

    def push(self, source):
        if self.arguments.frames and self.number >= self.arguments.frames:
            source.emit("end-of-stream")
            return False
        row = bytearray()
        for bit in range(WIDTH // BLOCK):
            row += bytes([235 if self.number >> bit & 1 else 16]) * BLOCK
        self.taken_ns[self.number] = time.time_ns()
        result = source.emit("push-buffer", Gst.Buffer.new_wrapped(bytes(row) * HEIGHT))
        self.number += 1
        return result == Gst.FlowReturn.OK

    def note(self, pad, info):
        buffer = info.get_buffer()
        data = buffer.extract_dup(0, buffer.get_size())
        nals = [part for part in re.split(rb"\x00*\x00\x00\x01", data) if part]
        number = self.sent
        self.sent += 1
        hashes = [(nal[:2].hex(), hashlib.sha256(nal.rstrip(b"\0")).hexdigest()) for nal in nals]
        self.log.write(json.dumps({"number": number, "taken_ns": self.taken_ns[number], "nals": hashes}) + "\n")
        self.log.flush()
        return Gst.PadProbeReturn.OK

    def drop(self, pad, info):
        """Every so many pushes of the payloader (a packet, or a list of them) is thrown away once the first picture is out."""
        if self.sent < 15 or self.sent % self.arguments.drop_every:
            return Gst.PadProbeReturn.OK
        held = info.get_buffer_list()
        self.dropped += held.length() if held else 1
        (Path(self.arguments.folder) / "dropped").write_text(str(self.dropped))
        return Gst.PadProbeReturn.DROP


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("port")
    parser.add_argument("codec", choices=sorted(ENCODERS))
    parser.add_argument("folder")
    parser.add_argument("--drop-every", type=int, default=0)
    parser.add_argument("--frames", type=int, default=0)
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--basic", action="store_true")
    Gst.init(None)
    camera = Camera(parser.parse_args())
    sys.stdout.write(f"{camera.server.get_bound_port()}\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


if __name__ == "__main__":
    sys.exit(main())
