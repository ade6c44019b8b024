"""When nothing came from a sensor, because it was gone or said nothing: what its streams' silences add up to, and in which words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from capture.recording_info import Interruption
from capture.stretch import Stretch, in_all, within, without
from devices.device import Stream

SILENCE = "it said nothing; check its power and cable"
_EACH_MAX = 3  # gaps of a sensor that are told one by one
_AT_ONCE_S = 0.05


def interruptions_of(
    sensor: str,
    silences: Mapping[str, Sequence[Stretch]],
    gone: Iterable[Interruption],
    pauses: Sequence[Stretch],
    span: Stretch,
    least_ns: int,
) -> list[Interruption]:
    """What of a sensor is missing in a recording that spans so long, in order.

    silences: of each of its streams that ought to speak. What all of them share is the sensor's, what one has beyond that its own; a
    silence beside stretches in which the sensor is known to have been ``gone`` is one with them. Pauses are no silences, nor is
    what lasted for less than least_ns. No two of the sensor's own overlap, nor do two of a stream's.
    """
    lost = [part for each in gone if (part := _part_in(each, span)) is not None]
    excused = [*pauses, *(_stretch(each, span) for each in lost)]
    quiet = {stream: without(within(each, span), excused) for stream, each in silences.items()}
    shared = [_silence(sensor, "", each, span) for each in in_all(list(quiet.values()))]
    joined = [_as_one(run) for run in _runs([*lost, *shared], span)]
    told = [each for each in joined if each.why != SILENCE or _stretch(each, span).ns >= least_ns]
    if len(quiet) > 1:
        of_sensor = [_stretch(each, span) for each in told]
        for stream, each in quiet.items():
            own = [part for part in without(each, of_sensor) if part.ns >= least_ns]
            told += [_silence(sensor, stream, part, span) for part in own]
    return sorted(told, key=lambda each: each.from_ns)


def stretches_of(interruptions: Iterable[Interruption], stream: Stream, ended_ns: int) -> list[Stretch]:
    """Those in which nothing could come on a stream."""
    return [
        Stretch(each.from_ns, ended_ns if each.to_ns is None else each.to_ns)
        for each in interruptions
        if each.sensor == stream.sensor and each.stream in ("", stream.name)
    ]


def interruptions_in_words(interruptions: Iterable[Interruption], started_ns: int, ended_ns: int) -> list[str]:
    """A line each; one for all of a sensor, or of a stream, that has many."""
    alike: dict[str, list[Interruption]] = {}
    for each in interruptions:
        alike.setdefault(_subject(each), []).append(each)
    lines = []
    for subject, found in alike.items():
        if len(found) > _EACH_MAX:
            lines.append(_sum_in_words(subject, found, started_ns, ended_ns))
        else:
            lines += [_in_words(subject, each, started_ns, ended_ns) for each in found]
    return lines


def _part_in(each: Interruption, span: Stretch) -> Interruption | None:
    """Its part in the span; one that is still going on at its end does not come back in it."""
    from_ns = max(each.from_ns, span.from_ns)
    to_ns = None if each.to_ns is None or each.to_ns > span.to_ns else each.to_ns
    if from_ns >= span.to_ns or (to_ns is not None and to_ns < span.from_ns):
        return None
    if (from_ns, to_ns) == (each.from_ns, each.to_ns) and to_ns is not None:
        return each
    came_back = {} if to_ns is not None else {"changed": "", "described": {}}
    return each.model_copy(update={"from_ns": from_ns, "to_ns": to_ns, **came_back})


def _stretch(each: Interruption, span: Stretch) -> Stretch:
    return Stretch(each.from_ns, span.to_ns if each.to_ns is None else each.to_ns)


def _runs(interruptions: Iterable[Interruption], span: Stretch) -> list[list[Interruption]]:
    """Those that touch or overlap, together; in order."""
    runs: list[list[Interruption]] = []
    run_to_ns = -1
    for each in sorted(interruptions, key=lambda each: _stretch(each, span)):
        from_ns, to_ns = _stretch(each, span)
        if runs and from_ns <= run_to_ns:
            runs[-1].append(each)
        else:
            runs.append([each])
        run_to_ns = max(run_to_ns, to_ns)
    return runs


def _as_one(run: Sequence[Interruption]) -> Interruption:
    """Silences and losses of a sensor without a word in between."""
    if len(run) == 1:
        return run[0]
    lost = [each for each in run if each.why != SILENCE] or run
    ends = [each.to_ns for each in run if each.to_ns is not None]
    described: dict[str, str] = {}
    for each in lost:
        described |= each.described
    return lost[-1].model_copy(
        update={
            "from_ns": run[0].from_ns,
            "to_ns": max(ends) if len(ends) == len(run) else None,
            "times": sum(each.times for each in lost),
            "changed": "; ".join(dict.fromkeys(each.changed for each in lost if each.changed)),
            "described": described,
        }
    )


def _silence(sensor: str, stream: str, each: Stretch, span: Stretch) -> Interruption:
    return Interruption(sensor=sensor, stream=stream, from_ns=each.from_ns, to_ns=_end(each, span), why=SILENCE)


def _end(each: Stretch, span: Stretch) -> int | None:
    return None if each.to_ns >= span.to_ns else each.to_ns


def _subject(each: Interruption) -> str:
    return f"{each.stream or each.sensor} was {'silent' if each.why == SILENCE else 'gone'}"


def _in_words(subject: str, each: Interruption, started_ns: int, ended_ns: int) -> str:
    often = f" ({each.times} times, without a word between)" if each.times > 1 else ""
    why = often if each.why == SILENCE else f"{often}: {each.why}"
    if each.to_ns is None:
        return f"{subject} for the last {max(0, ended_ns - each.from_ns) / 1e9:.1f} s{why}"
    changed = f"; {each.changed}" if each.changed else ""
    return f"{subject} for {(each.to_ns - each.from_ns) / 1e9:.1f} s{_when(each, started_ns)}{why}{changed}"


def _sum_in_words(subject: str, found: Sequence[Interruption], started_ns: int, ended_ns: int) -> str:
    lasted_ns = [(ended_ns if each.to_ns is None else each.to_ns) - each.from_ns for each in found]
    longest_ns = max(lasted_ns)
    when = _when(found[lasted_ns.index(longest_ns)], started_ns)
    why = "" if found[-1].why == SILENCE else f": {found[-1].why}"
    in_all_s, longest_s = sum(lasted_ns) / 1e9, longest_ns / 1e9
    changed = "".join(f"; {note}" for note in dict.fromkeys(each.changed for each in found) if note)
    return (
        f"{subject} {len(found)} times, for {in_all_s:.1f} s in all, the longest {longest_s:.1f} s{when}{why}{changed}"
    )


def _when(each: Interruption, started_ns: int) -> str:
    after_s = (each.from_ns - started_ns) / 1e9
    return " from the start on" if after_s < _AT_ONCE_S else f", {after_s:.1f} s after the start"
