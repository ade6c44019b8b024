"""What the messages of ROS' drivers mean, in the ways in which these drivers differ."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from devices.device import Stream, driver
from devices.errors import DeviceError
from devices.ros.driver import DRIVER
from devices.ros.schema import RosSchema, content_of, message_type_of
from devices.samples import Depth, Image, Sample, Sweep
from tests.devices.builders import ouster_metadata, ouster_turn, packet, velodyne_packet
from tests.devices.ros_messages import STORE, cloud, fix, header, image, ros_description, serialised
from tests.devices.video_builders import encoded_video

PICTURE = np.random.default_rng(3).integers(0, 255, (16, 24, 3)).astype(np.uint8)
STAMP_NS = 5_000_000_007


def decoded(
    kind: str, message: bytes, encoding: str = "", description: str = ""
) -> tuple[list[Sample], dict[str, int]]:
    decoder = DRIVER.decoder(Stream("sensor/what", encoding or kind, description or ros_description(kind)))
    return list(decoder.decode(packet(message))), dict(decoder.rejected)


def the_image(message: bytes) -> Image:
    (sample,), rejected = decoded("sensor_msgs/msg/Image", message)
    assert rejected == {}
    assert isinstance(sample, Image)
    return sample


def the_sweep(message: bytes) -> Sweep:
    (sample,), rejected = decoded("sensor_msgs/msg/PointCloud2", message)
    assert rejected == {}
    assert isinstance(sample, Sweep)
    return sample


def test_pictures_of_every_channel_order_are_the_same_picture() -> None:
    alpha = np.dstack([PICTURE, np.full(PICTURE.shape[:2], 255, dtype=np.uint8)])
    for encoding, pixels in {
        "rgb8": PICTURE, "bgr8": PICTURE[..., ::-1], "8UC3": PICTURE[..., ::-1],
        "rgba8": alpha, "bgra8": alpha[..., [2, 1, 0, 3]],
    }.items():  # fmt: skip
        np.testing.assert_array_equal(the_image(image(encoding, pixels)).pixels, PICTURE, err_msg=encoding)
    grey = PICTURE[..., :1]
    np.testing.assert_array_equal(the_image(image("mono8", grey)).pixels, np.repeat(grey, 3, axis=2))


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_a_bayer_mosaic_of_one_colour_is_that_colour(pattern: str) -> None:
    colour = {"r": 200, "g": 120, "b": 40}
    mosaic = np.zeros((16, 24, 1), dtype=np.uint8)
    for number, letter in enumerate(pattern):
        mosaic[number // 2 :: 2, number % 2 :: 2] = colour[letter]
    np.testing.assert_array_equal(the_image(image(f"bayer_{pattern}8", mosaic)).pixels[8, 12], [200, 120, 40])


def test_yuv_pictures_are_the_colour_that_opencv_made_them_of() -> None:
    flat = np.full((4, 6, 3), (180, 90, 60), dtype=np.uint8)
    y, u, v = cv2.cvtColor(flat, cv2.COLOR_RGB2YUV)[0, 0]
    for encoding, order in (("yuv422", (u, y, v, y)), ("yuv422_yuy2", (y, u, y, v))):
        pixels = np.tile(np.array(order, dtype=np.uint8).reshape(1, 2, 2), (4, 3, 1))
        found = the_image(image(encoding, pixels)).pixels.astype(int)
        assert np.abs(found[2, 2] - [180, 90, 60]).max() < 45, encoding  # studio against full range


def test_rows_may_be_padded_and_a_picture_that_does_not_fit_its_bytes_is_counted() -> None:
    padded = np.zeros((2, 5, 3), dtype=np.uint8)
    padded[:, :4] = 7
    data = padded.reshape(-1)
    wide = serialised("sensor_msgs/msg/Image", header(), 2, 4, "rgb8", 0, 15, data)
    assert the_image(wide).pixels.tolist() == [[[7, 7, 7]] * 4] * 2
    for height, width, step in ((2, 6, 15), (3, 4, 15), (2, 0, 15), (2, 4, 12)):
        message = serialised("sensor_msgs/msg/Image", header(), height, width, "rgb8", 0, step, data)
        assert decoded("sensor_msgs/msg/Image", message) == ([], {"a picture whose size does not fit its bytes": 1})


BASE = [("x", "<f4"), ("y", "<f4"), ("z", "<f4")]
TIMES = {  # driver -> field, its type, values, offsets in ns, first point after the stamp in ns
    "ouster": ("t", "<u4", [0, 50_000, 100_000], [0, 50_000, 100_000], 0),
    "velodyne": ("time", "<f4", [-0.1, -0.05, 0.0], [0, 50_000_000, 100_000_000], -100_000_000),
    "livox": ("timestamp", "<f8", [1.7e18, 1.7e18 + 1024, 1.7e18 + 2048], [0, 1024, 2048], 1_700_000_000_000_000_000 - STAMP_NS),
    "hesai, robosense": ("timestamp", "<f8", [1.7e9, 1.7e9 + 0.0625, 1.7e9 + 0.125], [0, 62_500_000, 125_000_000], 1_700_000_000_000_000_000 - STAMP_NS),
}  # fmt: skip


@pytest.mark.parametrize("driver", TIMES)
def test_the_times_of_points_are_read_the_way_each_driver_writes_them(driver: str) -> None:
    name, kind, values, offsets, first_ns = TIMES[driver]
    records = np.ones(3, dtype=[*BASE, (name, kind)])
    records[name] = values
    sweep = the_sweep(cloud(records))
    assert sweep.offset_ns.tolist() == pytest.approx(offsets, abs=4)
    assert sweep.t_ns == pytest.approx(STAMP_NS + first_ns, abs=4)


def test_times_that_span_more_than_any_sweep_are_not_believed() -> None:
    records = np.ones(2, dtype=[*BASE, ("time", "<f8")])
    records["time"] = [0, 1000]
    sweep = the_sweep(cloud(records))
    assert (sweep.t_ns, sweep.offset_ns.tolist()) == (STAMP_NS, [0, 0])


def test_rings_count_from_the_highest_beam_whichever_way_the_driver_counts() -> None:
    records = np.ones(32, dtype=[*BASE, ("ring", "<u2"), ("reflectivity", "<u2")])
    records["x"], records["z"] = 10, np.linspace(-3, 3, 32)
    records["reflectivity"] = 9
    for lowest_first in (True, False):
        records["ring"] = np.arange(32) if lowest_first else np.arange(32)[::-1]
        sweep = the_sweep(cloud(records))
        assert sweep.ring is not None
        assert sweep.ring.tolist() == list(range(31, -1, -1))
        assert set(sweep.intensity) == {9}


def test_a_big_endian_cloud_of_rows_is_the_same_cloud_and_its_holes_are_left_out() -> None:
    layout = np.dtype({"names": ["x", "y", "z"], "formats": ["<f4"] * 3, "offsets": [0, 8, 16], "itemsize": 24})
    records = np.zeros(6, dtype=layout)
    for number, axis in enumerate("xyz"):
        records[axis] = [1 + number, np.nan, 2 + number, 0, 3 + number, np.inf]
    expected = [[1, 2, 3], [2, 3, 4], [3, 4, 5]]
    assert the_sweep(cloud(records, height=2)).points_m.tolist() == expected
    swapped = records.astype(layout.newbyteorder(">"))
    assert the_sweep(cloud(swapped, big_endian=True)).points_m.tolist() == expected


def test_a_message_without_a_stamp_has_the_time_of_its_arrival() -> None:
    sweep = the_sweep(cloud(np.ones(1, dtype=BASE), head=_unstamped()))
    assert sweep.t_ns == packet(b"").stamps.host_ns


def _unstamped() -> object:
    head = header(0)
    head.stamp.nanosec = 0
    return head


def test_a_receiver_that_sees_no_satellites_gives_no_fix_and_no_fault() -> None:
    assert decoded("sensor_msgs/msg/NavSatFix", fix(status=-1)) == ([], {})


def test_an_ousters_packets_decode_by_its_metadata() -> None:
    metadata = ouster_metadata()
    kind = "ouster_sensor_msgs/msg/PacketMsg"
    definition = RosSchema.parse(ros_description(kind))
    schema = RosSchema(definition.definition, "ros2msg", inside=metadata)
    decoder = DRIVER.decoder(Stream("os/lidar_packets", f"{kind}(ouster.lidar)", schema.dump()))
    assert decoder.carries_over
    samples = [
        sample
        for turn in range(2)
        for data in ouster_turn(metadata, turn)
        for sample in decoder.decode(packet(serialised(kind, np.frombuffer(data, dtype=np.uint8))))
    ]
    assert [len(sample) for sample in samples if isinstance(sample, Sweep)] == [128, 128]
    assert list(decoder.decode(packet(b"no message"))) == []
    assert decoder.rejected == {f"no {kind}": 1}


def test_depths_in_millimetres_and_in_metres_are_the_same_depths() -> None:
    millimetres = np.array([[0, 1500], [2501, 65_000]], dtype=np.uint16)
    metres = np.array([[np.nan, 1.5], [2.5008, 65.0]], dtype=np.float32)
    png = np.frombuffer(b"\0" * 12 + cv2.imencode(".png", millimetres)[1].tobytes(), dtype=np.uint8)
    for message, kind in (
        (image("16UC1", millimetres), "Image"),
        (image("mono16", millimetres), "Image"),
        (image("32FC1", metres), "Image"),
        (serialised("sensor_msgs/msg/CompressedImage", header(), "16UC1; compressedDepth png", png), "CompressedImage"),
    ):
        name = f"sensor_msgs/msg/{kind}"
        (depth,), rejected = decoded(name, message, f"{name}(depth)")
        assert rejected == {}
        assert isinstance(depth, Depth)
        assert (depth.units.tolist(), depth.scale_m, depth.t_ns) == (millimetres.tolist(), 0.001, STAMP_NS)
    huge = image("32FC1", np.array([[-1, 66, np.inf, 1e30]], dtype=np.float32))
    (far,), _ = decoded("sensor_msgs/msg/Image", huge, "sensor_msgs/msg/Image(depth)")
    assert isinstance(far, Depth)
    assert far.units.tolist() == [[0, 0, 0, 0]]
    for message, kind in (
        (image("rgb8", PICTURE), "Image"),
        (
            serialised("sensor_msgs/msg/CompressedImage", header(), "16UC1; compressedDepth png", png[:40]),
            "CompressedImage",
        ),
        (serialised("sensor_msgs/msg/CompressedImage", header(), "32FC1; compressedDepth png", png), "CompressedImage"),
    ):
        samples, rejected = decoded(f"sensor_msgs/msg/{kind}", message, f"sensor_msgs/msg/{kind}(depth)")
        assert (samples, sum(rejected.values())) == ([], 1)


def test_video_of_other_recorders_decodes_to_pictures_at_their_own_times() -> None:
    kind = "foxglove_msgs/msg/CompressedVideo"
    stamp = header(9).stamp
    unit = np.frombuffer(encoded_video("libx264", 1)[0], dtype=np.uint8)
    (picture,), rejected = decoded(kind, serialised(kind, stamp, "camera", unit, "h264"), f"{kind}(h264)")
    assert rejected == {}
    assert isinstance(picture, Image)
    assert picture.t_ns == 9_000_000_007


def test_a_velodynes_packets_decode_as_they_do_from_the_wire() -> None:
    kind = "velodyne_msgs/msg/VelodyneScan"
    data = [velodyne_packet(1_000_000 + 1327 * number, number * 240 % 36_000) for number in range(160)]
    stamp, made = header(1_700_000_000).stamp, STORE.types["velodyne_msgs/msg/VelodynePacket"]
    packets = [made(stamp, np.frombuffer(each, dtype=np.uint8)) for each in data]
    schema = RosSchema(RosSchema.parse(ros_description(kind)).definition, "ros2msg", inside="VLP-16")
    decoder = DRIVER.decoder(Stream("lidar/packets", f"{kind}(velodyne)", schema.dump()))
    message = serialised(kind, header(), packets)
    sweeps = [*decoder.decode(packet(message)), *decoder.flush()]
    alone = driver("velodyne").decoder(Stream("lidar/points", "velodyne", "VLP-16"))
    expected = [s for each in data for s in alone.decode(packet(each, 1_700_000_000_000_000_007))] + [*alone.flush()]
    assert [len(each) for each in sweeps if isinstance(each, Sweep)] == [
        len(each) for each in expected if isinstance(each, Sweep)
    ]
    assert [each.t_ns for each in sweeps] == [each.t_ns for each in expected]
    assert len(sweeps) >= 2


def test_livoxs_own_message_is_a_sweep_with_the_time_of_each_point() -> None:
    kind, point = "livox_ros_driver2/msg/CustomMsg", STORE.types["livox_ros_driver2/msg/CustomPoint"]
    points = [
        point(1000, 1.0, 2.0, 3.0, 50, 0, 0),
        point(1500, 0.0, 0.0, 0.0, 9, 0, 1),
        point(4000, -1.0, 0.5, 0.0, 60, 16, 2),
    ]
    for given, expected in ((points, [[1, 2, 3], [-1, 0.5, 0]]), ([], [])):
        message = serialised(kind, header(), 5, len(given), 1, np.zeros(3, dtype=np.uint8), given)
        (sweep,), rejected = decoded(kind, message)
        assert rejected == {}
        assert isinstance(sweep, Sweep)
        assert sweep.points_m.tolist() == expected
        if given:
            assert (sweep.t_ns, sweep.offset_ns.tolist(), sweep.intensity.tolist()) == (
                STAMP_NS + 1000,
                [0, 3000],
                [50, 60],
            )


def test_a_type_that_nobody_knows_here_is_kept_without_samples_and_without_complaint() -> None:
    assert decoded("", b"anything", "lab_msgs/msg/Grasp", "{}") == ([], {})
    assert decoded("", b"anything", "sensor_msgs/msg/Image(thermal)", "{}") == ([], {})
    assert decoded("", b"anything", "velodyne_msgs/msg/VelodyneScan", "{}") == ([], {})


def test_a_definition_that_cannot_be_read_counts_every_message() -> None:
    for definition in ("float32 [", "no such thing", ""):
        samples, rejected = decoded("", b"anything", "sensor_msgs/msg/Imu", RosSchema(definition, "ros2msg").dump())
        assert samples == []
        assert sum(rejected.values()) == 1


def test_descriptions_and_encodings_survive_a_round_trip_and_foreign_ones_are_refused() -> None:
    schema = RosSchema("float32 x\n", "ros2msg", "RIHS01_0", "- depth: 1", '{"a": 1}')
    assert RosSchema.parse(schema.dump()) == schema
    for text in ("[1]", "{", '{"colour": 1}', "null x"):
        with pytest.raises(DeviceError, match="no schema"):
            RosSchema.parse(text)
    assert message_type_of("a_b/msg/C(ouster.lidar)") == "a_b/msg/C"
    assert content_of("a_b/msg/C(ouster.lidar)") == "ouster.lidar"
    assert message_type_of("jpeg") is message_type_of("a/srv/B") is message_type_of("a/msg/b/msg/C") is None


@pytest.mark.parametrize(
    ("definition", "begins"),
    [
        ("std_msgs/Header header\nfloat32 x\n", True),
        ("# a comment\n\nuint8 A=1\nuint8 B = 2 # two\nstd_msgs/msg/Header header\n", True),
        ("Header header\n", True),
        ("float32 x\nstd_msgs/Header header\n", False),
        ("std_msgs/HeaderArray headers\n", False),
        ("", False),
    ],
)
def test_it_is_known_whether_a_message_begins_with_its_time(definition: str, begins: bool) -> None:
    assert RosSchema(definition, "ros2msg").begins_with_header is begins
