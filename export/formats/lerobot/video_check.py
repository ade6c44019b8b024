"""Whether every frame of a LeRobot dataset's videos is at its row's instant and shows what the camera saw then.

A loader asks a video for the frame at a time, so a frame in the wrong place is a wrong picture that nobody notices. Each decoded
frame is compared with the small grey picture that was taken of it before it was encoded, and with its neighbours'.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.formats.lerobot.layout import TIMESTAMP_TOLERANCE_S
from export.formats.lerobot.video import THUMBNAIL_PX, frames_of
from export.provenance import read_thumbnails
from export.report import Report

# Grey levels by which a frame may differ on average from the picture that it was made from; H.264 at our quality stays below 2.
PICTURE_TOLERANCE = 6.0


def check_videos(
    folder: Path,
    info: Mapping[str, Any],
    episodes: Sequence[Mapping[str, Any]],
    provenance: Mapping[str, Any],
    report: Report,
) -> None:
    """Decode every video, one at a time, and add what is wrong with its frames to the report."""
    from av.error import FFmpegError

    frames, worst = 0, 0.0
    for key, feature in info["features"].items():
        if feature["dtype"] != "video":
            continue
        for path, owners in _files(folder, info, key, episodes):
            numbers = [episode["episode_index"] for episode in owners]
            expected = read_thumbnails(folder, provenance, key, min(numbers), max(numbers))
            report.require_none(_misplaced(path, key, info["fps"], owners))
            try:
                times, found = _decoded(path)
            except (OSError, FFmpegError) as error:
                report.problems.append(f"{path.relative_to(folder)} cannot be decoded: {error}")
                continue
            name = str(path.relative_to(folder))
            report.require_none(_wrong_frames(name, times, info["fps"], sum(episode["length"] for episode in owners)))
            starts = [(episode[f"videos/{key}/from_timestamp"], episode["length"]) for episode in owners]
            report.require_none(refused_frames(name, times, info["fps"], starts))
            if len(found) == len(expected):
                differences = _differences(found, expected)
                report.require_none(_wrong_pictures(name, differences, found, expected))
                worst = max(worst, float(differences.max(initial=0.0)))
            else:
                report.problems.append(
                    f"{name} holds {len(found)} frames, sources.parquet tells the origin of {len(expected)}"
                )
            frames += len(found)
    report.figures["video_frames"] = frames
    report.figures["largest_picture_difference"] = round(worst, 2)


def _files(
    folder: Path, info: Mapping[str, Any], key: str, episodes: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[Path, list[Mapping[str, Any]]]]:
    """Each video of a camera and the episodes that it holds, in order."""
    owners: dict[Path, list[Mapping[str, Any]]] = {}
    for episode in episodes:
        place = {name: episode[f"videos/{key}/{name}"] for name in ("chunk_index", "file_index")}
        owners.setdefault(folder / info["video_path"].format(video_key=key, **place), []).append(episode)
    yield from owners.items()


def _misplaced(path: Path, key: str, rate_hz: int, owners: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Episodes must follow each other in a video without gaps."""
    done = 0
    for episode in owners:
        start, stop = done / rate_hz, (done + episode["length"]) / rate_hz
        said = episode[f"videos/{key}/from_timestamp"], episode[f"videos/{key}/to_timestamp"]
        if max(abs(said[0] - start), abs(said[1] - stop)) > TIMESTAMP_TOLERANCE_S:
            yield (
                f"episode {episode['episode_index']}: meta/episodes places it in {path.name} of {key} from {said[0]} to "
                f"{said[1]} s, its rows are from {start} to {stop} s"
            )
        done += episode["length"]


def _decoded(path: Path) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Times (N,) s and thumbnails (N, 256) of all frames."""
    times, pictures = [], []
    for t_s, picture in frames_of(path):
        times.append(t_s)
        pictures.append(picture.ravel())
    return np.array(times), np.array(pictures, dtype=np.uint8).reshape(-1, THUMBNAIL_PX**2)


def _wrong_frames(name: str, times_s: NDArray[np.float64], rate_hz: int, rows: int) -> Iterator[str]:
    if len(times_s) != rows:
        yield f"{name} holds {len(times_s)} frames for {rows} rows"
    off = np.abs(times_s - np.arange(len(times_s)) / rate_hz)
    if off.max(initial=0.0) > TIMESTAMP_TOLERANCE_S:
        first = int((off > TIMESTAMP_TOLERANCE_S).argmax())
        yield f"{name}: frame {first} is shown at {times_s[first]:.6f} s, its row is at {first / rate_hz:.6f} s"


def refused_frames(
    name: str, times_s: NDArray[np.float64], rate_hz: int, episodes: Sequence[tuple[float, int]]
) -> Iterator[str]:
    """What the loader would not find, as it compares: in float32. episodes: where each starts in the video, s, and its rows."""
    wanted_s = [
        start_s + (np.arange(rows) / rate_hz).astype(np.float32).astype(np.float64) for start_s, rows in episodes
    ]
    asked, found = np.concatenate(wanted_s).astype(np.float32), times_s.astype(np.float32)
    if len(asked) != len(found):  # told already
        return
    refused = np.flatnonzero(np.abs(asked - found) >= TIMESTAMP_TOLERANCE_S)
    if len(refused):
        yield (
            f"{name}: LeRobot's loader would not find frame {refused[0]}, at {times_s[refused[0]]:.1f} s, to which it counts in float32 "
            f"({len(refused)} such frames); export the dataset anew"
        )


def _differences(found: NDArray[np.uint8], expected: Sequence[bytes], shift: int = 0) -> NDArray[np.float64]:
    """(N,) mean grey levels between each frame and the picture ``shift`` rows after its own, as far as there is one."""
    recorded = np.frombuffer(b"".join(expected), np.uint8).reshape(len(expected), -1)
    rows = np.arange(max(0, -shift), min(len(found), len(found) - shift))
    return np.asarray(np.abs(found[rows].astype(np.int16) - recorded[rows + shift]).mean(axis=1))


def _wrong_pictures(
    name: str, differences: NDArray[np.float64], found: NDArray[np.uint8], expected: Sequence[bytes]
) -> Iterator[str]:
    wrong = np.flatnonzero(differences > PICTURE_TOLERANCE)
    if len(wrong):
        yield f"{name}: frame {wrong[0]} does not show what the camera saw at its row ({len(wrong)} such frames)"
    for shift in (-1, 1):
        if len(found) > 2 and _differences(found, expected, shift).mean() < differences.mean() - 0.05:
            yield f"{name}: its frames match the rows {abs(shift)} {'later' if shift > 0 else 'earlier'} better than their own"
