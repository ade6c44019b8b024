"""What a trial says of the sensors: do they speak, whole, without loss?"""

from __future__ import annotations

from collections.abc import Sequence

from capture.preflight.finding import Finding, amber, green, red
from capture.preflight.trial import StreamFacts, Trial
from devices.rig import Rig

_REJECTED_RED = 0.10
FOREIGN = "see whether something else sends to its port, and whether rig.toml describes this sensor"
KEY_FRAMES = (
    "have the camera send a key frame a second (its page calls it GOP or I-frame interval), or listen longer: --for 30s"
)
CHECK_POWER = "check its power, its cable and the address that it sends to (rig.toml says where we listen)"


def speaking(rig: Rig, trial: Trial) -> list[Finding]:
    """Every sensor can be opened, and says something."""
    findings = []
    for name in rig.sensors:
        if name in trial.unopened:
            findings.append(red("speaks", name, "cannot be opened", trial.unopened[name]))
        else:
            findings += _speaks(name, [each for each in trial.streams if each.stream.sensor == name], trial)
    return findings


def _speaks(sensor: str, streams: Sequence[StreamFacts], trial: Trial) -> list[Finding]:
    findings = [
        red("speaks", each.stream.name, f"stopped after {each.packets} packets", each.failure)
        for each in streams
        if each.failure
    ]
    steady = [each for each in streams if each.is_steady]
    packets, volume = sum(each.packets for each in streams), sum(each.size_bytes for each in streams)
    if steady and not packets and not findings:
        return [red("speaks", sensor, f"nothing came in {trial.duration_s:.1f} s", CHECK_POWER)]
    for each in steady:
        if not each.packets and not each.failure:
            measured = f"nothing came in {trial.duration_s:.1f} s, while the sensor's other streams speak"
            findings.append(
                amber("speaks", each.stream.name, measured, "switch this output on in the sensor, or do without it")
            )
    if findings:
        return findings
    if not packets:
        return [green("speaks", sensor, "open and silent, as what speaks only when something happens")]
    return [
        green(
            "speaks", sensor, f"{packets / trial.duration_s:.1f} packets/s, {volume / trial.duration_s / 1e6:.3g} MB/s"
        )
    ]


def decoding(trial: Trial) -> list[Finding]:
    """Every packet means something."""
    findings = []
    for each in trial.streams:
        if each.undecodable:
            said, _, advice = each.undecodable.partition("; ")
            findings.append(amber("decodes", each.stream.name, said, advice))
        if not each.decoded:
            continue
        count, name = sum(each.rejected.values()), each.stream.name
        if not count:
            findings.append(green("decodes", name, f"{each.decoded} of {each.decoded} packets looked at"))
            continue
        why = ", ".join(f"{times} x {reason}" for reason, times in sorted(each.rejected.items()))
        measured = f"{count} of {each.decoded} packets looked at are passed over ({why})"
        if each.awaits_key_frame:
            findings.append(amber("decodes", name, measured, KEY_FRAMES))
            continue
        colour = red if count > _REJECTED_RED * each.decoded else amber
        findings.append(colour("decodes", name, measured, FOREIGN))
    return findings


def losses(trial: Trial) -> list[Finding]:
    """Nothing is lost before it is read, on a machine that does nothing else yet."""
    lossy = [each for each in trial.streams if each.lost]
    if not lossy:
        packets = sum(each.packets for each in trial.streams)
        return [green("losses", "all streams", f"none of {packets} packets lost")] if packets else []
    return [
        red("losses", each.stream.name, f"{each.lost} packets lost of {each.packets + each.lost}",
            "check its cable and switch, end other programs, and enlarge the receive buffer (see buffers)" if each.receive_buffer_bytes is not None
            else "check its cable, its bus (one USB controller a camera) and its network; end other programs")
        for each in lossy
    ]  # fmt: skip
