"""Earth-centred, earth-fixed coordinates (x to the Greenwich meridian, z to the north pole, m) and places on the WGS84 ellipsoid."""

from __future__ import annotations

import math


def geodetic(x_m: float, y_m: float, z_m: float) -> tuple[float, float, float] | None:
    """Earth-centred, earth-fixed -> latitude, longitude in degrees, height above the WGS84 ellipsoid in m; None near the earth's centre.

    Iterates on the latitude (Bowring 1976 gives the start), which converges to below 1e-11 degrees in a few steps.
    """
    a, f = 6_378_137.0, 1 / 298.257223563
    b, e2 = a * (1 - f), f * (2 - f)
    across = math.hypot(x_m, y_m)
    if math.hypot(across, z_m) < 1e6:
        return None
    theta = math.atan2(z_m * a, across * b)
    latitude = math.atan2(z_m + (a * a - b * b) / b * math.sin(theta) ** 3, across - e2 * a * math.cos(theta) ** 3)
    for _ in range(4):
        n = a / math.sqrt(1 - e2 * math.sin(latitude) ** 2)
        latitude = math.atan2(z_m + e2 * n * math.sin(latitude), across)
    n = a / math.sqrt(1 - e2 * math.sin(latitude) ** 2)
    height = across * math.cos(latitude) + z_m * math.sin(latitude) - a * a / n
    return math.degrees(latitude), math.degrees(math.atan2(y_m, x_m)), height


def enu_from_ecef(
    latitude_deg: float, longitude_deg: float, xyz: tuple[float, float, float]
) -> tuple[float, float, float]:
    """A vector from earth-centred, earth-fixed axes to east, north, up at a place."""
    lat, lon = math.radians(latitude_deg), math.radians(longitude_deg)
    x, y, z = xyz
    outward = math.cos(lon) * x + math.sin(lon) * y
    east = -math.sin(lon) * x + math.cos(lon) * y
    return east, -math.sin(lat) * outward + math.cos(lat) * z, math.cos(lat) * outward + math.sin(lat) * z
