"""The report's pictures: what the cameras saw, the cloud on the image, the labels from above, the labelling screen."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from annotate import birdseye
from annotate.birdseye import View
from annotate.keyframes import Keyframe, keyframes
from annotate.label_studio import shown
from annotate.label_studio.server import Server
from annotate.labels import Cuboid, footprint
from annotate.store import LabelStore
from calibration.calibration import Calibration
from calibration.overlay import draw_cloud, draw_cuboids
from calibration.sync import SyncedFrame, synced_frames
from capture.recording import Recording
from capture.workspace import Workspace
from devices.samples import Image, Sweep
from examples.demo.report import Picture, jpeg

_BOX_COLOUR = (255, 214, 10)
_WINDOW_NS = 1_000_000_000  # in which a sweep and its pictures are sure to be


def first_frame(recording: Recording) -> list[Picture]:
    """The middle frame of a recording, camera beside camera."""
    frames = _spread(recording, None, 1)
    pictures = [_pixels(frames[0], name) for name in sorted(frames[0].images)] if frames else []
    if not pictures:
        return []
    return [
        jpeg(
            f"recorded-{recording.id}",
            "A recorded instant, half way through, as the cameras saw it.",
            np.hstack(pictures),
        )
    ]


def overlays(recording: Recording, calibration: Calibration, count: int) -> list[Picture]:
    """The cloud on every camera's image, spread over the recording."""
    pictures = []
    for number, frame in enumerate(_spread(recording, calibration, count)):
        if frame.sweep is None or not isinstance(frame.sweep.sample, Sweep):
            continue
        sweep = frame.sweep.sample
        for name in sorted(frame.images):
            drawn = draw_cloud(
                _pixels(frame, name), calibration.camera(name), calibration.between(name, sweep.sensor), sweep.points_m
            )
            caption = f"{name}: the lidar's returns drawn on the image, near red to far blue. Picture and sweep are {abs(frame.residual_ns[name]) / 1e6:.0f} ms apart."
            pictures.append(jpeg(f"overlay-{recording.rig.name}-{number}-{name}", caption, drawn))
    return pictures


def labelled_frames(
    workspace: Workspace, project: str, recording: Recording, calibration: Calibration, count: int
) -> list[Picture]:
    """Pulled cuboids from above and on the images, spread over the labelled keyframes."""
    store = LabelStore(workspace, project)
    by_frame: dict[str, list[Cuboid]] = {}
    for cuboid in store.load():
        by_frame.setdefault(cuboid.provenance.task, []).append(cuboid)
    labelled = [frame.uid for frame in store.keyframes() if by_frame.get(frame.uid)]
    chosen = {labelled[k] for k in np.linspace(0, len(labelled) - 1, count).round().astype(int)} if labelled else set()
    pictures = []
    for number, keyframe in enumerate(keyframes(recording, calibration, only=chosen)):
        cuboids = by_frame[keyframe.uid]
        above = _crop(_from_above(keyframe, cuboids))
        name = f"labels-{recording.rig.name}-{number}"
        pictures.append(
            jpeg(f"{name}-above", f"{len(cuboids)} cuboids from above; the grid is 10 m, the front has a line.", above)
        )
        wires = np.hstack([_wired(keyframe, cuboids, camera, calibration) for camera in sorted(keyframe.frame.images)])
        pictures.append(jpeg(f"{name}-cameras", "The same cuboids on the images; the front face has a cross.", wires))
    return pictures


def labelling_screen(server: Server, project_url: str) -> list[Picture]:
    """The labelling screen as an annotator sees it, where a Chromium is installed; nothing where not."""
    browser_path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser_path is None:
        return []
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1920, "height": 1080})
        page.goto(f"{server.url}/user/login/")
        page.fill("input[name=email]", server.user)
        page.fill("input[name=password]", server.password)
        page.press("input[name=password]", "Enter")
        page.wait_for_load_state("networkidle")
        page.goto(project_url.replace("/data", "/data?labeling=1"))
        page.wait_for_selector("canvas", timeout=60_000)
        page.wait_for_timeout(3000)
        data = page.screenshot()
        browser.close()
    return [
        Picture(
            "labelling-screen",
            "The labelling screen in Label Studio: from above in metres, and the cameras.",
            "image/png",
            data,
        )
    ]


def _spread(recording: Recording, calibration: Calibration | None, count: int) -> list[SyncedFrame]:
    """Some frames, evenly spread over a recording, its ends left out."""
    step_ns = (recording.end_ns - recording.start_ns) // (count + 1)
    frames = []
    for number in range(1, count + 1):
        start_ns = recording.start_ns + number * step_ns
        around = synced_frames(recording, calibration, start_ns=start_ns, end_ns=start_ns + _WINDOW_NS)
        frames += list(islice((frame for frame in around if frame.images and frame.sweep), 1))
    return frames


def _pixels(frame: SyncedFrame, name: str) -> NDArray[np.uint8]:
    sample = frame.images[name].sample
    if not isinstance(sample, Image):
        raise TypeError(f"{name} gave a {type(sample).__name__}, not an image")
    return sample.pixels


def _from_above(keyframe: Keyframe, cuboids: Sequence[Cuboid]) -> NDArray[np.uint8]:
    import cv2

    seen = shown.shown_in(keyframe)
    view = View.for_scene(keyframe.points_m, seen.ground.height_m)
    picture = birdseye.draw(view, keyframe.points_m, keyframe.intensity, seen.ground.height_m)
    picture = np.ascontiguousarray(picture)
    for cuboid in cuboids:
        corners = view.pixels(footprint(cuboid.center_m, cuboid.size_m, cuboid.yaw_rad))
        front = view.pixels(
            np.array(
                [cuboid.center_m[:2], (footprint(cuboid.center_m, cuboid.size_m, cuboid.yaw_rad)[[0, 3]].mean(axis=0))]
            )
        )
        for line in (corners, front):
            cv2.polylines(
                picture, [np.round(line * 16).astype(np.int32)], len(line) > 2, _BOX_COLOUR, 2, cv2.LINE_AA, 4
            )
    return picture


def _wired(keyframe: Keyframe, cuboids: Sequence[Cuboid], camera: str, calibration: Calibration) -> NDArray[np.uint8]:
    model, camera_from_lidar = calibration.camera(camera), calibration.between(camera, keyframe.lidar)
    return draw_cuboids(_pixels(keyframe.frame, camera), model, camera_from_lidar, cuboids)


def _crop(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle part, where most boxes are, about as wide for its height as two pictures side by side."""
    height = picture.shape[0]
    return picture[round(height * 0.31) : round(height * 0.69)]
