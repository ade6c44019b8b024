"""Whether a reference picture of an H.264 stream is missing, read off the pictures' frame_num (ITU-T H.264, 7.3.2.1.1, 7.3.3, 7.4.3).

FFmpeg conceals such a loss without a word: the pictures behind it look whole and are smeared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# profile_idc of the profiles whose sequence parameter sets carry a chroma format and scaling lists
_HIGH_PROFILES = (44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244)
_HEAD_BYTES = 64  # frame_num stands within the first of a slice


@dataclass(frozen=True, slots=True)
class _Counting:
    """What a sequence parameter set says of frame_num."""

    bits: int
    may_skip: bool
    has_colour_planes: bool


class MissingReferences:
    """Fed the NAL units of one access unit after another."""

    def __init__(self) -> None:
        self._counting: _Counting | None = None
        self._last = 0  # frame_num of the newest reference picture

    def before(self, nals: Sequence[bytes]) -> bool:
        """Whether a reference picture is missing before this one. False as well where the stream does not let it be known."""
        for nal in nals:
            kind = nal[0] & 0x1F
            try:
                if kind == 7:
                    self._counting = _counting(nal)
                elif kind in (1, 2, 5):
                    return self._is_gap(nal, kind == 5)
            except IndexError:
                return False
        return False

    def _is_gap(self, nal: bytes, is_idr: bool) -> bool:
        if self._counting is None:
            return False
        number = _frame_num(nal, self._counting)
        following = (self._last + 1) % (1 << self._counting.bits)
        gap = not is_idr and not self._counting.may_skip and number not in (self._last, following)
        if nal[0] & 0x60:  # nal_ref_idc: others may rest on it
            self._last = number
        return gap


def _counting(nal: bytes) -> _Counting:
    bits = _Bits(nal[1:])
    profile = bits.fixed(8)
    bits.fixed(16)  # constraints, level
    bits.golomb()  # seq_parameter_set_id
    planes = False
    if profile in _HIGH_PROFILES:
        chroma = bits.golomb()
        planes = chroma == 3 and bool(bits.fixed(1))
        bits.golomb()  # bit depths
        bits.golomb()
        bits.fixed(1)
        if bits.fixed(1):
            for index in range(12 if chroma == 3 else 8):
                if bits.fixed(1):
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    frame_num_bits = bits.golomb() + 4
    order = bits.golomb()  # pic_order_cnt_type
    if order == 0:
        bits.golomb()
    elif order == 1:
        bits.fixed(1)
        bits.golomb()  # two signed offsets: as long as unsigned ones
        bits.golomb()
        for _ in range(min(bits.golomb(), 255)):
            bits.golomb()
    bits.golomb()  # max_num_ref_frames
    if frame_num_bits > 16:
        raise IndexError(frame_num_bits)
    return _Counting(frame_num_bits, bool(bits.fixed(1)), planes)


def _frame_num(nal: bytes, counting: _Counting) -> int:
    bits = _Bits(nal[1:_HEAD_BYTES])
    for _ in range(3):  # first_mb_in_slice, slice_type, pic_parameter_set_id
        bits.golomb()
    if counting.has_colour_planes:
        bits.fixed(2)
    return bits.fixed(counting.bits)


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            coded = bits.golomb()
            delta = (coded + 1) // 2 * (1 if coded & 1 else -1)
            following = (last + delta) % 256
        last = following or last


class _Bits:
    """Reads a NAL unit's bits from the left, its emulation prevention bytes taken out. Raises IndexError at its end."""

    def __init__(self, data: bytes) -> None:
        raw = data.replace(b"\x00\x00\x03", b"\x00\x00")
        self._value = int.from_bytes(raw, "big")
        self._left = len(raw) * 8

    def fixed(self, count: int) -> int:
        if count > self._left:
            raise IndexError(count)
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def golomb(self) -> int:
        """ue(v), 9.1."""
        zeros = 0
        while not self.fixed(1):
            zeros += 1
            if zeros > 31:
                raise IndexError(zeros)
        return (1 << zeros) - 1 + self.fixed(zeros)
