"""The preflight of a rig: everything is measured first, then judged."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from capture.ip_fragments import Reassembly, reassembly
from capture.preflight.buffers import buffers, fragments, rmem_max_bytes
from capture.preflight.camera_settings import camera_settings
from capture.preflight.check import Check, Context
from capture.preflight.clocks import sensor_clocks
from capture.preflight.disk import Disk, disk_space, disk_speed, measure_disk
from capture.preflight.finding import Finding, red
from capture.preflight.machine import Machine, lid, measure_machine, memory, power, processor, temperature
from capture.preflight.machine_clock import MachineClock, machine_clock, measure_machine_clock
from capture.preflight.permissions import Permissions, measure_permissions, permissions
from capture.preflight.rates import rates
from capture.preflight.sensors import decoding, losses, speaking
from capture.preflight.trial import Trial, run_trial
from capture.workspace import Workspace
from devices.errors import FieldrigError
from devices.progress import Progress
from devices.rig import Rig


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that the checks look at. rmem_max: bytes. before, after: the trial. None where the system does not say."""

    trial: Trial
    disk: Disk
    machine: Machine
    clock: MachineClock
    permissions: Permissions
    rmem_max: int | None
    before: Reassembly | None
    after: Reassembly | None


def preflight(
    rig: Rig,
    workspace: Workspace,
    *,
    duration_s: float,
    hours: float,
    checks: Sequence[Check] = (),
    progress: Progress | None = None,
) -> list[Finding]:
    """Listens to all sensors for duration_s, measures this machine, and judges. hours: how long is to be recorded.

    checks: those of other stages. A sensor that cannot be reached is a finding; nothing is raised for it.
    """
    before = reassembly()
    measured = Measured(
        trial=run_trial(rig, duration_s, progress),
        before=before,
        after=reassembly(),
        disk=measure_disk(workspace, progress),
        machine=measure_machine(),
        clock=measure_machine_clock(time.time_ns()),
        permissions=measure_permissions(rig, workspace),
        rmem_max=rmem_max_bytes(),
    )
    findings = judged(rig, measured, hours)
    context = Context(rig, workspace, measured.trial, measured.clock.now_ns)
    for check in checks:
        findings += _of_other_stage(check, context)
    return findings


def judged(rig: Rig, measured: Measured, hours: float) -> list[Finding]:
    """What this stage's checks say of what was measured."""
    trial, machine = measured.trial, measured.machine
    return [
        *speaking(rig, trial),
        *rates(rig, trial),
        *decoding(trial),
        *losses(trial),
        *buffers(trial, measured.rmem_max),
        *fragments(trial, measured.before, measured.after),
        *camera_settings(trial),
        *sensor_clocks(trial),
        *machine_clock(measured.clock),
        *disk_speed(measured.disk, trial.bytes_s),
        *disk_space(measured.disk, trial.bytes_s, hours),
        *power(machine, hours),
        *lid(machine),
        *processor(machine, trial.busy_share, trial.own_cores),
        *memory(machine),
        *temperature(machine),
        *permissions(measured.permissions, trial.unopened),
    ]


def _of_other_stage(check: Check, context: Context) -> Sequence[Finding]:
    try:
        return check.run(context)
    except FieldrigError as error:
        return [red(check.name, context.rig.name, "could not be checked", str(error))]
