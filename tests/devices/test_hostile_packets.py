"""Every lidar decoder under attack: what arrives is used once or counted, and no sweep holds times or turns that do not belong together."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.device import Decoder, Stream, driver
from devices.ouster.metadata import read_metadata
from devices.samples import Sweep
from devices.velodyne.packet import KINDS
from tests.devices.builders import ouster_metadata, ouster_packet, packet, velodyne_packet, with_rows
from tests.devices.hesai_packets import SHAPES, angles_csv, turn_packets
from tests.devices.livox_packets import first_packet, second_packet

MS, S = 1_000_000, 1_000_000_000
START_NS = 1_700_000_000 * S // (3600 * S) * 3600 * S + 600 * S  # ten minutes past an hour: Velodyne counts from there
TURN_NS = 100 * MS
PACKETS = 60  # of a stream: several turns of every lidar


@dataclass(frozen=True)
class Lidar:
    """send: (start, turn's length, how many packets) -> packets of a head that turns evenly, every one with as many points.

    boots_at_ns: where its clock begins after a power-up. span_ns: how far points lie from their packet's place in time.
    """

    stream: Stream
    send: Callable[[int, int, int], list[bytes]]
    packets_a_turn: float
    points: int
    boots_at_ns: int
    span_ns: int = 10 * MS

    def decoder(self) -> Decoder:
        return driver(self.stream.encoding.partition(".")[0]).decoder(self.stream)

    @cache  # noqa: B019  # as many as LIDARS, for good
    def sent(self, start_ns: int = START_NS, turn_ns: int = TURN_NS, count: int = PACKETS) -> list[bytes]:
        return self.send(start_ns, turn_ns, count)

    def times(self, start_ns: int = START_NS, turn_ns: int = TURN_NS, count: int = PACKETS) -> list[int]:
        return [start_ns + round(number * turn_ns / self.packets_a_turn) for number in range(count)]


def ouster(profile: str, columns: int) -> Lidar:
    """Four beams, 32 columns, in packets of so many."""
    text = ouster_metadata(udp_profile_lidar=profile, columns_per_packet=columns)
    meta = read_metadata(text)
    turn = 32 // columns

    def send(start_ns: int, turn_ns: int, count: int) -> list[bytes]:
        return [
            ouster_packet(meta, 5 + n // turn, n % turn * columns, 2000, start_ns + round(n * turn_ns / turn))
            for n in range(count)
        ]

    return Lidar(Stream("lidar/points", "ouster.lidar", text), send, turn, 4 * columns, 3 * S)


def velodyne(model: str) -> Lidar:
    """2 degrees a block (a VLS-128: a firing of four)."""
    kind = KINDS[model]
    step = 50 if model == "VLS-128" else 200

    def send(start_ns: int, turn_ns: int, count: int) -> list[bytes]:
        out = []
        for n in range(count):
            us = (start_ns // 1000 + round(n * turn_ns / 1000 * 12 * step / 36000)) % 3_600_000_000
            data = bytearray(velodyne_packet(us, n * 12 * step % 36000, step=step, model=kind.id))
            for block in range(12):
                data[block * 100 : block * 100 + 2] = kind.flags[block % len(kind.flags)]
            out.append(bytes(data))
        return out

    # Its clock counts past the hour: wherever it stands after a power-up, it is somewhere within half an hour.
    return Lidar(Stream("lidar/points", "velodyne", model), send, 36000 / 12 / step, 384, START_NS - 400 * S)


def hesai(model: str) -> Lidar:
    shape = SHAPES[model]
    described = json.dumps({"model": model, "cut_deg": 0.0, "angles": angles_csv(model)})

    def send(start_ns: int, turn_ns: int, count: int) -> list[bytes]:
        period_us = round(turn_ns / 1000 * 400 * shape.blocks / 36000)
        turns = count * shape.blocks * 400 / 36000
        return turn_packets(model, turns, t_ns=start_ns, step=400, period_us=period_us)

    boots = 946_684_800 * S  # 2000-01-01
    points = shape.blocks * shape.channels
    return Lidar(Stream("lidar/points", "hesai", described), send, 90 / shape.blocks, points, boots)


def livox(model: str) -> Lidar:
    """A packet every 5 ms."""

    def send(start_ns: int, turn_ns: int, count: int) -> list[bytes]:
        stamps = [start_ns + n * turn_ns // 20 for n in range(count)]
        if model == "Mid-360":
            return [
                second_packet([(1.0, 2.0, 0.5)] * 96, t_ns, counter=n, interval_100ns=4800)
                for n, t_ns in enumerate(stamps)
            ]
        return [first_packet([[(1.0, 2.0, 0.5)]] * 96, t_ns.to_bytes(8, "little")) for t_ns in stamps]

    described = json.dumps({"model": model, "window_ms": 100})
    return Lidar(Stream("lidar/points", "livox.points", described), send, 20, 96, 3 * S)


LIDARS = {
    "Ouster": ouster("RNG19_RFL8_SIG16_NIR16", 8), "Ouster legacy": ouster("LEGACY", 4), "Ouster FUSA": ouster("FUSA_RNG15_RFL8_NIR8_DUAL", 8),
    **{model: velodyne(model) for model in KINDS}, **{model: hesai(model) for model in SHAPES},
    **{model: livox(model) for model in ("Mid-360", "Avia")},
}  # fmt: skip
every_lidar = pytest.mark.parametrize("lidar", LIDARS.values(), ids=LIDARS)
turning = pytest.mark.parametrize("name", [name for name in LIDARS if name not in {"Mid-360", "Avia"}])


def checked(
    lidar: Lidar, datas: Sequence[bytes], times: Sequence[int], turn_ns: int = TURN_NS
) -> tuple[int, dict[str, int]]:
    """How many packets were used, and those passed over by reason: together all that came. times: of all good ones among them."""
    decoder = lidar.decoder()
    sweeps = [sweep for data in datas for sweep in decoder.decode(packet(data, host_ns=START_NS))]
    sweeps += decoder.flush()
    assert all(isinstance(sweep, Sweep) for sweep in sweeps)
    used = sum(map(len, sweeps)) / lidar.points
    assert used + sum(decoder.rejected.values()) == len(datas)
    known = np.array(sorted(times))
    for sweep in sweeps:
        assert sweep.offset_ns.min() == 0
        assert sweep.offset_ns.max() < turn_ns * (1 + 1.1 / lidar.packets_a_turn) + 2 * MS, "two turns in one sweep"
        points_ns = sweep.t_ns + sweep.offset_ns
        after = np.searchsorted(known, points_ns - lidar.span_ns)
        assert (known[np.minimum(after, len(known) - 1)] - points_ns <= lidar.span_ns).all(), "a time that nobody sent"
    return int(used), dict(decoder.rejected)


@every_lidar
def test_a_stream_that_nobody_attacks_is_used_whole(lidar: Lidar) -> None:
    assert checked(lidar, lidar.sent(), lidar.times()) == (len(lidar.sent()), {})


@every_lidar
def test_packets_cut_short_at_every_length_cost_nothing_else(lidar: Lidar) -> None:
    good = lidar.sent()
    cut = [good[20][:length] for length in range(len(good[20]))]
    used, rejected = checked(lidar, [*good[:21], *cut, *good[21:]], lidar.times())
    assert used == len(good)
    assert sum(rejected.values()) == len(cut)
    assert rejected["wrong size"] >= len(cut) - 1  # a Hesai may go without its last field: that one is a duplicate then


@every_lidar
@given(seed=st.integers(0, 2**32), longer=st.integers(-40, 40))
def test_random_bytes_of_any_length_cost_nothing_else(lidar: Lidar, seed: int, longer: int) -> None:
    good, dice = lidar.sent(count=12), random.Random(seed)
    noise = [dice.randbytes(max(0, len(good[0]) + extra)) for extra in (0, 0, longer)]
    used, rejected = checked(lidar, [*good[:4], *noise, *good[4:]], lidar.times())
    assert (used, sum(rejected.values())) == (len(good), len(noise))


@every_lidar
def test_duplicates_however_late_are_counted_and_used_once(lidar: Lidar) -> None:
    good = lidar.sent()
    doubled = [
        each for n, data in enumerate(good) for each in (data, data, good[max(0, n - 1)], data, good[max(0, n - 7)])
    ]
    used, rejected = checked(lidar, doubled, lidar.times())
    assert used == len(good)
    assert rejected.keys() <= {"duplicate packet", "late packet"}


@every_lidar
def test_other_sensors_at_the_same_port_cost_nothing(lidar: Lidar) -> None:
    good = lidar.sent()
    foreign = [each.sent(count=9)[at] for each in LIDARS.values() if each is not lidar for at in (0, 1, 2)]
    among = [data for pair in zip(good, foreign, strict=False) for data in pair] + good[len(foreign) :]
    used, rejected = checked(lidar, among, lidar.times())
    assert (used, sum(rejected.values())) == (len(good), len(foreign))


@every_lidar
def test_a_stream_that_runs_backwards_is_counted(lidar: Lidar) -> None:
    used, rejected = checked(lidar, lidar.sent()[::-1], lidar.times())
    assert used >= 1
    assert rejected.keys() <= {"late packet", "foreign frame id", "a time out of step"}


@every_lidar
@given(seed=st.integers(0, 2**32))
def test_a_stream_that_is_shuffled_doubled_and_thinned_adds_up(lidar: Lidar, seed: int) -> None:
    dice = random.Random(seed)
    good = lidar.sent()
    datas = [data for data in good for _ in range(dice.choice([0, 1, 1, 1, 2]))]
    for _ in range(6):
        at, to = dice.randrange(len(datas)), dice.randrange(len(datas))
        datas.insert(to, datas.pop(at))
    checked(lidar, datas, lidar.times())


@every_lidar
@given(seed=st.integers(0, 2**32))
def test_half_of_the_packets_missing_leaves_the_other_half(lidar: Lidar, seed: int) -> None:
    dice = random.Random(seed)
    left = [data for data in lidar.sent() if dice.random() < 0.5]
    assert checked(lidar, left, lidar.times()) == (len(left), {})


@turning
@pytest.mark.parametrize("turn_ns", [50 * MS, 100 * MS, 200 * MS])
@pytest.mark.parametrize("missing", [0.3, 0.6, 0.9])
def test_no_run_of_missing_packets_puts_two_turns_into_one_sweep(name: str, turn_ns: int, missing: float) -> None:
    lidar = LIDARS[name]
    good, times = lidar.sent(turn_ns=turn_ns), lidar.times(turn_ns=turn_ns)
    gone = math.ceil(missing * lidar.packets_a_turn)
    for first in range(1, math.ceil(lidar.packets_a_turn) + 1):
        left = good[:first] + good[first + gone :]
        assert checked(lidar, left, times, turn_ns) == (len(left), {})


@every_lidar
@pytest.mark.parametrize("before", [1, 17, 18, 19, 20, 40])
def test_a_sensor_that_boots_anew_loses_no_packet_and_mixes_nothing(lidar: Lidar, before: int) -> None:
    first, second = lidar.sent()[:before], lidar.sent(lidar.boots_at_ns)
    times = [*lidar.times(), *lidar.times(lidar.boots_at_ns)]
    assert checked(lidar, [*first, *second], times) == (before + len(second), {})


@every_lidar
@pytest.mark.parametrize("leap_ns", [37 * S, -37 * S, 2 * S, -400 * MS, -60 * MS, 600 * S])
@pytest.mark.parametrize("before", [17, 18, 19, 20])
def test_a_clock_that_is_set_costs_no_packet_and_mixes_nothing(lidar: Lidar, leap_ns: int, before: int) -> None:
    datas = [*lidar.sent()[:before], *lidar.sent(START_NS + leap_ns)[before:]]
    times = [*lidar.times(), *lidar.times(START_NS + leap_ns)]
    assert checked(lidar, datas, times) == (len(datas), {})


@every_lidar
def test_one_broken_time_costs_one_packet(lidar: Lidar) -> None:
    good, odd = lidar.sent(), lidar.sent(START_NS + 300 * S)[20]
    for at in (19, 20, 21):
        used, rejected = checked(lidar, [*good[:at], odd, *good[at:]], lidar.times())
        assert (used, sum(rejected.values())) == (len(good), 1)
        assert rejected.keys() <= {"a time out of step", "duplicate packet"}


def test_an_ouster_that_boots_anew_is_known_by_its_serial_number() -> None:
    said = json.loads(with_rows(16, "RNG19_RFL8_SIG16_NIR16")) | {"prod_sn": "122150000150"}
    meta = read_metadata(json.dumps(said | {"initialization_id": 77}))
    theirs = bytearray(ouster_packet(meta, 5, 0, 2000, START_NS, with_crc=False))
    decoder = driver("ouster").decoder(Stream("lidar/points", "ouster.lidar", json.dumps(said)))
    assert [*decoder.decode(packet(bytes(theirs))), *decoder.flush()] == []
    assert decoder.rejected == {"foreign initialization id": 1}
    theirs[7:12] = (122150000150).to_bytes(5, "little")
    assert len([*decoder.decode(packet(bytes(theirs))), *decoder.flush()]) == 1
    theirs[7:12] = (122150000151).to_bytes(5, "little")
    assert [*decoder.decode(packet(bytes(theirs))), *decoder.flush()] == []
    assert decoder.rejected == {"foreign initialization id": 2}
