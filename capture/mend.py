"""Mends a finished recording that something has happened to since: what can be made anew is, and what was damaged is set aside.

A file that is missing and of which nothing was set aside, or that is whole but not the one that was recorded, is left as it is: it may be
put back from a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from capture import checksums, recording_info
from capture.bag import rosbag
from capture.bag.asides import copy_aside, damaged_parts, discard_torn, torn_parts
from capture.bag.mcap_file import FileSummary
from capture.bag.rebuild import made_whole, rebuild
from capture.bag.salvage import is_half_repaired
from capture.checksums import files_of, legible_sums, read_sums, sha256_of, write_lines
from capture.errors import CaptureError
from capture.lock import hold
from capture.recording import stated_summary
from capture.recording_info import RecordingInfo
from capture.repaired import Repaired
from capture.restate import lost_words, restate, segment_info, unproven_words
from capture.segment_files import UNDER_WAY, present_segments, under_way
from capture.verify import verify
from capture.whole_file import write_whole
from devices.device import Stream

_RESTATED = (rosbag.NAME, recording_info.NAME)
Maker = Callable[[Path, Sequence[Stream]], FileSummary]


def mend(folder: Path, info: RecordingInfo) -> Repaired:
    """Raises CaptureError when none of its files is there."""
    for leftover in folder.glob("*.tmp"):
        leftover.unlink()
    mending = _Mending(folder, info)
    for path in mending.paths:
        if stated_summary(path) is None or is_half_repaired(path):
            mending.make(path, made_whole)
    found = verify(folder, decode=False)
    for path in mending.paths:
        if path.name in found.mendable:
            mending.make(path, rebuild)
    if checksums.NAME in found.mendable:
        mending.correct_sums()
    mending.take_up()
    if mending.made:
        mending.restate()
    elif rosbag.NAME in found.mendable:
        mending.renew_metadata()
    if mending.told:
        mending.write_sums()
    mending.end()
    if mending.told:
        found = verify(folder, decode=False)
    files = mending.summaries().values()
    made = mending.made.values()
    return Repaired(
        folder,
        done=bool(mending.told),
        messages=sum(file.messages for file in files),
        rescued=sum(file.rescued for file in made),
        cut_bytes=sum(file.cut_bytes for file in made),
        mended=tuple(mending.told),
        reasons=found.recording.info.reasons,
        left=tuple(found.damage),
    )


class _Mending:
    """One repair of a finished recording.

    paths: its files of messages that are there. made: those of them that are no longer what was recorded. told: what was done, a line each.
    """

    def __init__(self, folder: Path, info: RecordingInfo) -> None:
        self.paths = present_segments(folder, info)
        self.made: dict[str, FileSummary] = {}
        self.told: list[str] = []
        self._folder = folder
        self._info = info
        self._streams = info.stream_list()
        self._sums = self._stated_sums()
        self._under_way = under_way(folder)

    def make(self, path: Path, make: Maker) -> None:
        """Makes one file whole; it may then be the one again that was recorded."""
        if path.name not in self._under_way:
            self._under_way.append(path.name)
            write_whole(self._folder / UNDER_WAY, "".join(f"{name}\n" for name in self._under_way))
        with path.open("rb") as file:
            hold(file.fileno(), path)
            made = make(path, self._streams)
        if made.intact:
            self._under_way.remove(path.name)
        else:
            self.made[path.name] = made

    def correct_sums(self) -> None:
        """Lines of SHA256SUMS that are missing, and those of files that are as recording.json says."""
        recorded = {each.name: each.sha256 for each in self._info.segments if each.name not in self._under_way}
        wrong = [
            path.name
            for path in self.paths
            if (sha256 := recorded.get(path.name)) != (stated := self._sums.get(path.name))
            and sha256 is not None
            and (stated is None or sha256_of(path) == sha256)
        ]
        unproven = [name for name in _RESTATED if name not in self._sums and (self._folder / name).is_file()]
        copy_aside(self._folder / checksums.NAME)
        self._sums |= {name: recorded[name] for name in wrong}
        self._sums |= {name: sha256_of(self._folder / name) for name in unproven}
        self.told.append(
            f"{checksums.NAME} was damaged; made anew: lines for {', '.join([*wrong, *unproven])}{_unproven(unproven)}"
        )

    def take_up(self) -> None:
        """What a repair that was killed had made counts as made by this one; a file that is again the one that was recorded does not."""
        restated = {segment.name: segment.sha256 for segment in self._info.segments}
        for path in self.paths:
            if path.name not in self._under_way:
                continue
            sha256 = sha256_of(path)
            if sha256 == self._sums.get(path.name):
                self.made.pop(path.name, None)
                self.told.append(f"{path.name} is the file again that was recorded")
            elif sha256 == restated.get(path.name):  # recording.json has it already, SHA256SUMS has not
                self.made.pop(path.name, None)
                self._sums |= {name: sha256_of(self._folder / name) for name in (path.name, *_RESTATED)}
                self.told.append("a repair that had not come to its end was brought to it")
            elif (summary := stated_summary(path)) is not None:
                self.made.setdefault(path.name, summary)

    def summaries(self) -> dict[str, FileSummary]:
        return {path.name: summary for path in self.paths if (summary := stated_summary(path)) is not None}

    def restate(self) -> None:
        """What was lost with the files that were made anew stands in recording.json from now on."""
        info, files = self._info, self.summaries()
        reasons = [line for path in self.paths if path.name in self.made for line in self._reasons(path)]
        if self._keep(recording_info.NAME):
            reasons.append(f"{recording_info.NAME} had been altered after it was recorded")
        self._keep(rosbag.NAME)
        is_empty = not any(file.messages for file in files.values())
        anew = [path for path in self.paths if path.name in self.made or not info.segments]
        segments = {path.name: segment_info(path, files[path.name], sha256_of(path)) for path in anew}
        restated = info.model_copy(
            update={
                "state": "repaired",
                "verdict": "bad" if is_empty or info.verdict == "bad" else "doubtful",
                "reasons": tuple(dict.fromkeys((*info.reasons, *reasons))),
                "segments": tuple(segments.get(each.name, each) for each in info.segments) or tuple(segments.values()),
            }
        )
        restate(self._folder, restated, files)
        self._sums |= {name: segment.sha256 for name, segment in segments.items()}
        self._sums |= {name: sha256_of(self._folder / name) for name in _RESTATED}
        self.told += reasons

    def renew_metadata(self) -> None:
        self._keep(rosbag.NAME)
        rosbag.write_metadata(self._folder, self._info.stream_list(), self.summaries())
        self._sums[rosbag.NAME] = sha256_of(self._folder / rosbag.NAME)
        self.told.append(f"{rosbag.NAME} was missing or damaged, and was made anew")

    def write_sums(self) -> None:
        """Hashes of what stays as it was are those that were stated: what differs from them still does."""
        asides = [name for name in files_of(self._folder) if ".damaged-" in name]
        write_lines(self._folder, {name: sha256_of(self._folder / name) for name in asides} | self._sums)

    def end(self) -> None:
        for path in self.paths:
            discard_torn(path)
        (self._folder / UNDER_WAY).unlink(missing_ok=True)

    def _reasons(self, path: Path) -> list[str]:
        known = {segment.name: segment.counts for segment in self._info.segments}
        stated = known.get(path.name) or {rosbag.topic_of(name): count for name, count in self._info.counts.items()}
        made = self.made[path.name]
        lost = lost_words(path.name, stated, made.counts)
        unproven = [unproven_words(path.name, made.rescued)] if made.rescued else []
        asides = [f"{part.name} holds bytes that could not be read" for part in damaged_parts(path)]
        return [lost or f"{path.name} was damaged after it was recorded, and made anew; none of its messages is missing", *unproven, *asides]  # fmt: skip

    def _keep(self, name: str) -> bool:
        """Sets a copy aside of a file that is about to be written anew, where it is not what was recorded."""
        path, stated = self._folder / name, self._sums.get(name)
        is_altered = path.is_file() and stated is not None and sha256_of(path) != stated
        if is_altered:
            copy_aside(path)
        return is_altered

    def _stated_sums(self) -> dict[str, str]:
        """What SHA256SUMS says; made anew where it cannot be read, as far as it is known what it said."""
        try:
            return read_sums(self._folder)
        except CaptureError:
            path = self._folder / checksums.NAME
        recorded = {segment.name: segment.sha256 for segment in self._info.segments if not segment.deleted}
        legible, was = dict[str, str](), "missing"
        if path.exists():
            legible, was = legible_sums(path.read_bytes()), "damaged"
            copy_aside(path)
        passing = {UNDER_WAY, *(part.name for path in self.paths for part in torn_parts(path))}
        others = (name for name in files_of(self._folder) if name not in recorded.keys() | passing)
        sums = {name: legible.get(name) or sha256_of(self._folder / name) for name in others} | recorded
        write_lines(self._folder, sums)
        made_anew = (rosbag.NAME, *(name for name in sums if ".damaged-" in name))
        unproven = sorted(sums.keys() - legible.keys() - recorded.keys() - {*made_anew})
        self.told.append(f"{checksums.NAME} was {was}, and was made anew{_unproven(unproven)}")
        return sums


def _unproven(names: Sequence[str]) -> str:
    return f"; nothing tells whether these are as they were recorded: {', '.join(names)}" if names else ""
