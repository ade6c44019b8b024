"""Hesai lidars over UDP: Pandar40P, Pandar64, QT64, QT128, XT16, XT32, XT32M.

    [sensors.lidar]
    driver = "hesai"
    model = "XT32"
    angles = "tcp://192.168.1.201"    # the unit's own calibration: out of the lidar, or the path of its CSV file
    port = 2368
    clock = "ptp"                     # what it was set to follow on its page: ptp, pps (a receiver); left out: nothing is claimed

The packets do not say what their clock follows: rig.toml may, and the recorder holds that claim against the stamps.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from devices.device import ClockSource, Decoder, Found, Rejections, SensorConfig, Source, Stream
from devices.errors import DeviceError
from devices.hesai.angles import angles_text, nominal_angles, read_angles
from devices.hesai.firing import firing_ns
from devices.hesai.packet import PACKETS, Model, Packets, packets_of, read_head
from devices.hesai.scan import HesaiTurns
from devices.lidars.packet_gaps import UNNUMBERED, PacketGaps
from devices.lidars.sweep_decoder import SweepDecoder
from devices.samples import Sample, Sweep
from devices.udp.listening import heard
from devices.udp.source import UdpSource

ENCODING = "hesai"
PORT = 2368


class HesaiConfig(SensorConfig):
    """model: None where the packets shall say it. angles: where the unit's calibration is; an XT does without. cut_deg: where a turn begins.

    clock: what the unit was set to follow.
    """

    model: Model | None = None
    angles: str | None = None
    host: str = "0.0.0.0"
    port: int = Field(default=PORT, ge=0, le=65535)
    cut_deg: float = Field(default=0.0, ge=0, lt=360)
    clock: Literal["free", "ptp", "pps"] = "free"


class HesaiDriver:
    """One stream, ``SENSOR/points``, described by JSON of the model, the calibration file's text and where a turn begins."""

    config = HesaiConfig
    sought = "Hesai lidars that send to UDP port 2368"
    yields: ClassVar[Mapping[str, type[Sample]]] = {ENCODING: Sweep}

    def open(self, name: str, config: HesaiConfig) -> Sequence[Source]:
        text = nominal_angles(config.model or "") if config.angles is None else angles_text(config.angles)
        if text is None:
            raise DeviceError(
                f"{name}: where the beams of a Hesai {config.model or 'lidar of unknown model'} look stands in its unit's calibration only; "
                'give angles = "tcp://ADDRESS" of the lidar or the path of its CSV file'
            )
        described = json.dumps({"model": config.model, "cut_deg": config.cut_deg, "angles": text})
        stream = Stream(f"{name}/points", ENCODING, described)
        packets, _, _ = _described(stream)
        live = _Live(packets)
        return [
            UdpSource(
                stream, config.port, live.newest_ns, config.host, clock_source=ClockSource(config.clock),
                gaps=live.gaps, rejections=live.rejections, remark=live.remark, one_sender=True,
            )
        ]  # fmt: skip

    def decoder(self, stream: Stream) -> Decoder:
        """Raises DeviceError when the stream is no Hesai's or its description is broken."""
        if stream.encoding != ENCODING:
            raise DeviceError(f"{stream.name}: a Hesai has no stream of '{stream.encoding}'")
        return SweepDecoder(HesaiTurns(stream.sensor, *_described(stream)))

    def find(self, timeout_s: float) -> Sequence[Found]:
        """Whose packets arrive at the port that the maker ships lidars with."""
        found = []
        for address, datas in heard(PORT, timeout_s).items():
            packets = next((each for each in map(packets_of, datas) if each is not None), None)
            if packets is not None:
                config: dict[str, Any] = {"model": packets.model, "angles": f"tcp://{address}"}
                found.append(Found("hesai", f"Hesai {packets.model} at {address}", config))
        return found


def _described(stream: Stream) -> tuple[Packets | None, NDArray[np.float64], float]:
    """The packets' layout, the beams' angles, and where a turn begins."""
    try:
        said = json.loads(stream.description)
        model, text, cut_deg = said["model"], str(said["angles"]), float(said["cut_deg"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DeviceError(f"{stream.name}: its description holds no Hesai model and angles: {error}") from None
    if (model is not None and model not in PACKETS) or not 0 <= cut_deg < 360:
        raise DeviceError(
            f"{stream.name}: no Hesai model '{model}' whose turn begins at {cut_deg} degrees; choose one of: {', '.join(PACKETS)}"
        )
    packets, angles = None if model is None else PACKETS[model], read_angles(text)
    if packets is not None and len(angles) != packets.channels:
        raise DeviceError(
            f"{stream.name}: the Hesai calibration has {len(angles)} channels where a {model} has {packets.channels}; give that lidar's own"
        )
    return packets, angles, cut_deg


class _Live:
    """What is read off packets as they arrive: their newest instant, and how many are missing."""

    def __init__(self, packets: Packets | None) -> None:
        self._packets = packets
        self._newest_ns: dict[int, int] = {}  # by the number of returns: the last firing after the packet's stamp
        self.rejections = Rejections()
        self._gaps: PacketGaps[int] = PacketGaps(_step)
        self._is_unnumbered = False

    def newest_ns(self, data: bytes) -> int | None:
        packets = self._packets or packets_of(data)
        head = "of no Hesai" if packets is None else read_head(data, packets)
        if packets is None or isinstance(head, str):
            self.rejections.add(str(head))
            return None
        if head.sequence is None:
            self._is_unnumbered = True
        else:
            self._gaps.take(head.sequence)
        if head.returns not in self._newest_ns:
            self._newest_ns[head.returns] = int(firing_ns(packets.model, packets.blocks, head.returns).max())
        return head.t_ns + self._newest_ns[head.returns]

    def gaps(self) -> int:
        return self._gaps.missing

    def remark(self) -> str:
        return UNNUMBERED if self._is_unnumbered else ""


def _step(before: int, after: int) -> int | None:
    """The sequence runs through 32 bits. A leap of more than a minute's packets is a restart."""
    step = (after - before + 0x80000000) % 0x100000000 - 0x80000000
    return step if abs(step) <= _MINUTE else None


_MINUTE = 600_000  # packets

DRIVER = HesaiDriver()
