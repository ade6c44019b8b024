"""What the 32-bit words of a pixel hold, in every profile of an Ouster's lidar packets.

Source: ouster-lidar/ouster-sdk and the sensor's "Sensor Data Format" documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray


@dataclass(frozen=True, slots=True)
class Field:
    """Bits ``low``..``high`` (inclusive, from the least significant) of a pixel's 32-bit ``word``, times ``scale``."""

    word: int
    low: int
    high: int
    dtype: DTypeLike
    scale: int = 1

    def of(self, words: NDArray[np.uint32]) -> NDArray[np.generic]:
        """(..., words a pixel) -> (...) of dtype."""
        mask = np.uint32((1 << (self.high - self.low + 1)) - 1)
        values = words[..., self.word]
        values = (values >> np.uint32(self.low) if self.low else values) & mask
        values = values.astype(self.dtype, copy=False)
        return values if self.scale == 1 else values * values.dtype.type(self.scale)


@dataclass(frozen=True, slots=True)
class Profile:
    """A lidar profile: how wide a pixel is, and what its words hold. RANGE in mm (0: no return), the rest in the sensor's unit."""

    name: str
    words: int
    fields: Mapping[str, Field]

    @property
    def returns(self) -> int:
        return 2 if "RANGE2" in self.fields else 1

    @property
    def legacy(self) -> bool:
        return self.name == "LEGACY"


_U8, _U16, _U32 = np.uint8, np.uint16, np.uint32
_FIRST = {"RANGE": Field(0, 0, 18, _U32), "FLAGS": Field(0, 19, 23, _U8)}
_SECOND = {"RANGE2": Field(1, 0, 18, _U32), "FLAGS2": Field(1, 19, 23, _U8), "REFLECTIVITY2": Field(1, 24, 31, _U8)}
_SINGLE = _FIRST | {
    "REFLECTIVITY": Field(1, 0, 7, _U8), "SIGNAL": Field(1, 16, 31, _U16), "NEAR_IR": Field(2, 0, 15, _U16),
}  # fmt: skip
_BOTH = _FIRST | _SECOND | {
    "REFLECTIVITY": Field(0, 24, 31, _U8), "SIGNAL": Field(2, 0, 15, _U16), "SIGNAL2": Field(2, 16, 31, _U16),
}  # fmt: skip
_DUAL = _BOTH | {"NEAR_IR": Field(3, 0, 15, _U16)}
_LEGACY = {
    "RANGE": Field(0, 0, 19, _U32), "FLAGS": Field(0, 28, 31, _U8), "REFLECTIVITY": Field(1, 0, 7, _U8),
    "SIGNAL": Field(1, 16, 31, _U16), "NEAR_IR": Field(2, 0, 15, _U16),
}  # fmt: skip
_LOW_RATE_FIRST = {
    "RANGE": Field(0, 0, 14, _U32, 8), "FLAGS": Field(0, 15, 15, _U8), "REFLECTIVITY": Field(0, 16, 23, _U8),
}  # fmt: skip
_LOW_RATE = _LOW_RATE_FIRST | {"NEAR_IR": Field(0, 24, 31, _U16, 16)}
_LOW_RATE_DUAL = _LOW_RATE | {
    "RANGE2": Field(1, 0, 14, _U32, 8), "FLAGS2": Field(1, 15, 15, _U8), "REFLECTIVITY2": Field(1, 16, 23, _U8),
    "WINDOW": Field(1, 24, 31, _U8),
}  # fmt: skip
_COLOUR = _FIRST | {
    "REFLECTIVITY": Field(0, 24, 31, _U8), "SIGNAL": Field(1, 0, 15, _U16), "NEAR_IR": Field(1, 16, 31, _U16),
    "R": Field(2, 0, 15, _U16), "G": Field(2, 16, 31, _U16), "B": Field(3, 0, 15, _U16),
}  # fmt: skip
_COLOUR_DUAL = _DUAL | {"R": Field(3, 16, 31, _U16), "G": Field(4, 0, 15, _U16), "B": Field(4, 16, 31, _U16)}
PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("LEGACY", 3, _LEGACY),
        Profile("RNG19_RFL8_SIG16_NIR16", 3, _SINGLE | {"WINDOW": Field(2, 24, 31, _U8)}),
        Profile("RNG19_RFL8_SIG16_NIR16_DUAL", 4, _DUAL | {"WINDOW": Field(3, 24, 31, _U8)}),
        Profile("RNG15_RFL8_NIR8", 1, _LOW_RATE),
        Profile("RNG15_RFL8_NIR8_DUAL", 2, _LOW_RATE_DUAL),
        Profile("FUSA_RNG15_RFL8_NIR8_DUAL", 2, _LOW_RATE_DUAL),
        Profile("FIVE_WORD_PIXEL", 5, _DUAL),
        Profile("RNG15_RFL8_WIN8", 1, _LOW_RATE_FIRST | {"WINDOW": Field(0, 24, 31, _U8)}),
        Profile("RNG15_RFL8_NIR8_ZONE16", 2, _LOW_RATE | {"ZONE_MASK": Field(1, 0, 15, _U16), "WINDOW": Field(1, 16, 23, _U8)}),
        Profile("RNG19_RFL8_SIG16_NIR16_ZONE16", 3, _SINGLE | {"WINDOW": Field(1, 8, 15, _U8), "ZONE_MASK": Field(2, 16, 31, _U16)}),
        Profile("RNG19_RFL8_SIG16_ZONE16_DUAL", 4, _BOTH | {"ZONE_MASK": Field(3, 0, 15, _U16), "WINDOW": Field(3, 24, 31, _U8)}),
        Profile("RNG19_RFL8_SIG16_NIR16_RGB16", 4, _COLOUR),
        Profile("RNG19_RFL8_SIG16_NIR16_RGB16_DUAL", 5, _COLOUR_DUAL),
    )
}  # fmt: skip
