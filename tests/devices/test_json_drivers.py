import json
import socket

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.device import Stream
from devices.json_lines import newest_t_ns
from devices.marks import DRIVER as MARKS
from devices.named_vector import DRIVER, NamedVectorConfig
from devices.samples import Mark
from tests.devices.builders import Reader, decoded

STATE = Stream("robot/state", "vector.json")
texts = st.text(max_size=20)


def line(**keys: object) -> bytes:
    said = {"t_ns": 1000, "topic": "state", "names": ["x_m", "y_m"], "values": [1.5, -2.0]} | keys
    return json.dumps(said).encode() + b"\n"


@given(
    st.lists(st.tuples(texts, st.floats(allow_nan=False, allow_infinity=False)), unique_by=lambda pair: pair[0]),
    st.integers(0, 2**63 - 1),
)
def test_a_vector_comes_back_as_it_was_sent(pairs: list[tuple[str, float]], t_ns: int) -> None:
    names, values = [name for name, _ in pairs], [value for _, value in pairs]
    (vector,) = decoded(DRIVER.decoder(STATE), [line(t_ns=t_ns, names=names, values=values)])
    assert (vector.sensor, vector.topic, vector.t_ns) == ("robot", "state", t_ns)
    assert vector.names == tuple(names)
    np.testing.assert_array_equal(vector.values, values)


def test_a_datagram_may_carry_several_lines() -> None:
    datagram = line(t_ns=1) + b"\n" + line(t_ns=2) + line(t_ns=3).rstrip(b"\n")
    assert [vector.t_ns for vector in decoded(DRIVER.decoder(STATE), [datagram])] == [1, 2, 3]
    assert newest_t_ns(datagram) == 3


def test_a_datagram_that_the_network_has_doubled_is_one_vector() -> None:
    decoder = DRIVER.decoder(STATE)
    vectors = decoded(decoder, [line(t_ns=1), line(t_ns=1), line(t_ns=2), line(t_ns=1), line(t_ns=3)])
    assert [vector.t_ns for vector in vectors] == [1, 2, 3]
    assert decoder.rejected == {"duplicate packet": 2}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"{torn\n", "not a JSON object"),
        (b"[1, 2]\n", "not a JSON object"),
        (b"\xff\xfe\n", "not a JSON object"),
        (b"[" * 100_000, "not a JSON object"),
        (line(t_ns=None), "no t_ns, or not an int64 of ns"),
        (line(t_ns=1.5), "no t_ns, or not an int64 of ns"),
        (line(t_ns=True), "no t_ns, or not an int64 of ns"),
        (line(t_ns=2**63), "no t_ns, or not an int64 of ns"),
        (line(t_ns=-1), "no t_ns, or not an int64 of ns"),
        (line(topic="action"), "another topic"),
        (line(names="xy"), "names are no list of different strings"),
        (line(names=["x_m", "x_m"]), "names are no list of different strings"),
        (line(names=["x_m", 7]), "names are no list of different strings"),
        (line(values=[1]), "as many values as names expected"),
        (line(values=["1", "2"]), "values are no list of finite numbers"),
        (line(values=[1, True]), "values are no list of finite numbers"),
        (line(values=[1, float("nan")]), "values are no list of finite numbers"),
        (line(values=[1, 10**400]), "values are no list of finite numbers"),
    ],
)
def test_a_bad_line_is_counted_by_its_reason_and_its_neighbours_are_kept(bad: bytes, reason: str) -> None:
    decoder = DRIVER.decoder(STATE)
    vectors = decoded(decoder, [line(t_ns=1) + bad + b"\n" + line(t_ns=2)])
    assert [vector.t_ns for vector in vectors] == [1, 2]
    assert decoder.rejected == {reason: 1}


def test_every_topic_has_its_own_port_and_stream() -> None:
    state, action = DRIVER.open("robot", NamedVectorConfig(ports={"state": 0, "action": 0}, host="127.0.0.1"))
    with Reader([state, action]) as reader, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(line(t_ns=5), ("127.0.0.1", state.port))
        sender.sendto(line(t_ns=6, topic="action"), ("127.0.0.1", action.port))
        reader.wait_for("robot/state", 1)
        reader.wait_for("robot/action", 1)
    assert [each.stamps.device_ns for each in reader.packets["robot/state"]] == [5]
    assert [each.stamps.device_ns for each in reader.packets["robot/action"]] == [6]


def test_a_mark_keeps_its_kind_its_text_and_whatever_else_it_says() -> None:
    said = {"t_ns": 7, "kind": "episode_start", "text": "drive to the gate", "operator": "anna", "try": 2}
    marks = decoded(
        MARKS.decoder(Stream("operator/marks", "mark.json")),
        [json.dumps(said).encode(), b'{"t_ns": 8, "kind": "episode_stop"}'],
    )
    assert marks == [
        Mark("operator", 7, "episode_start", "drive to the gate", {"operator": "anna", "try": "2"}),
        Mark("operator", 8, "episode_stop"),
    ]


@pytest.mark.parametrize("bad", ['{"t_ns": 1}', '{"t_ns": 1, "kind": ""}', '{"t_ns": 1, "kind": "a", "text": 5}'])
def test_a_mark_without_a_kind_is_counted(bad: str) -> None:
    decoder = MARKS.decoder(Stream("operator/marks", "mark.json"))
    assert decoded(decoder, [bad.encode()]) == []
    assert decoder.rejected == {"kind or text is no string": 1}
