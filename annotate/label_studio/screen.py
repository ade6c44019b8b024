"""The labelling screen for finding objects in a frame: bird's-eye view on the left, all cameras as one picture on the right.

The server takes any XML for a screen and only the browser shows that it is wrong, so check() holds an own list of what is known
to work (tried in Label Studio 1.23.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from annotate.errors import AnnotateError
from annotate.labels import CATEGORIES

GUIDELINE = "find-1"  # the version of RULES; every label names the one that it was made by
BOX, FRONT, BIRDSEYE, CAMERAS = "box", "front", "birdseye", "cameras"  # names in the screen, and in every result
FRONT_OK, FLIP = "front ok", "flip"

RULES = """\
**One box around every road user and movable object that shows points.** Correct the pre-labels, add what is missing, delete what is nothing.

- The box's long side lies along the direction of travel. A box with *front ok* faces along its first side: the rotation handle sits on the object's **left**. If the handle is on the right, choose *flip* (g).
- Sides that face the lidar lie on the points. Give hidden sides the size that such an object has.
- Colour is height above ground (blue low, red 3 m); grey is ground. The white arrow is the rig and points ahead; the grid is 10 m.
- Cameras show the pre-labels as wires; they do not follow your edits.
- Nothing to label? Submit the empty frame. Cannot tell? Skip it.
- Keys: 1-6 class, f / g front, Ctrl+wheel zoom, Ctrl+Enter submit, Alt+. next box, U unselect, Ctrl+Z undo.
"""

_COLOURS = ("#ff4d4f", "#ff922b", "#ffd43b", "#51e07a", "#22d3ee", "#ced4da")
_STYLE = """
.find { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 8px; align-items: start; }
.find-bar { grid-column: 1 / 3; display: flex; flex-wrap: wrap; gap: 4px 24px; align-items: center; }
.find-rules { grid-column: 1 / 3; }
.relations-overlay { display: none; }
"""
_FIT = "calc(100vh - 220px)"

_ALLOWED: dict[str, frozenset[str]] = {
    "View": frozenset({"className", "style"}),
    "Style": frozenset(),
    "Image": frozenset(
        {"name", "value", "zoom", "zoomControl", "rotateControl", "brightnessControl", "contrastControl", "smoothing"}
        | {"crosshair", "maxHeight", "defaultZoom"}
    ),
    "RectangleLabels": frozenset({"name", "toName", "strokeWidth", "canRotate", "opacity", "showInline"}),
    "Label": frozenset({"value", "background", "hotkey"}),
    "Choices": frozenset({"name", "toName", "perRegion", "choice", "showInline", "required"}),
    "Choice": frozenset({"value", "hotkey", "selected"}),
    "Collapse": frozenset({"accordion"}),
    "Panel": frozenset({"value"}),
    "Markdown": frozenset({"value"}),
}


def find_screen(categories: Sequence[str] = CATEGORIES) -> str:
    """The screen's XML. At most nine categories, one hotkey each."""
    if not 0 < len(categories) <= 9:
        raise AnnotateError(f"a screen has 1 to 9 categories, each with a key of its own, not {len(categories)}")
    screen = ET.Element("View", className="find")
    ET.SubElement(screen, "Style").text = _STYLE
    bar = ET.SubElement(screen, "View", className="find-bar")
    box = ET.SubElement(
        bar, "RectangleLabels", name=BOX, toName=BIRDSEYE, strokeWidth="2", canRotate="true", opacity="0.1"
    )
    for k, category in enumerate(categories):
        ET.SubElement(box, "Label", value=category, background=_COLOURS[k % len(_COLOURS)], hotkey=str(k + 1))
    front = ET.SubElement(
        bar, "Choices", name=FRONT, toName=BIRDSEYE, perRegion="true", choice="single-radio", showInline="true"
    )
    for value, hotkey in ((FRONT_OK, "f"), (FLIP, "g")):
        ET.SubElement(front, "Choice", value=value, hotkey=hotkey)
    _image(screen, BIRDSEYE, {"crosshair": "true", "smoothing": "false"})
    _image(screen, CAMERAS, {"brightnessControl": "true", "contrastControl": "true"})
    rules = ET.SubElement(ET.SubElement(screen, "View", className="find-rules"), "Collapse", accordion="false")
    panel = ET.SubElement(ET.SubElement(rules, "Panel", value=f"Rules ({GUIDELINE})"), "View")
    ET.SubElement(panel, "Markdown", value=RULES)
    xml = ET.tostring(screen, encoding="unicode")
    check(xml)
    return xml


def _image(screen: ET.Element, name: str, more: dict[str, str]) -> None:
    place = ET.SubElement(screen, "View", className=f"find-{name}")
    common = {"name": name, "value": f"${name}", "zoom": "true", "zoomControl": "true", "maxHeight": _FIT}
    ET.SubElement(place, "Image", common | more)


def check(xml: str) -> None:
    """Raise AnnotateError naming the first thing in a screen that is not known to work."""
    try:
        root = ET.fromstring(xml)  # noqa: S314  # our own text
    except ET.ParseError as error:
        raise AnnotateError(f"the labelling screen is no XML: {error}") from None
    objects = {element.get("name") for element in root.iter("Image")}
    for parent in root.iter():
        for element in parent:
            _check_element(element, parent, objects)


def _check_element(element: ET.Element, parent: ET.Element, objects: set[str | None]) -> None:
    known = _ALLOWED.get(element.tag)
    if known is None:
        raise AnnotateError(
            f"the labelling screen has a tag <{element.tag}>; known to work: {', '.join(sorted(_ALLOWED))}"
        )
    unknown = sorted(set(element.attrib) - known)
    if unknown:
        raise AnnotateError(
            f"the labelling screen's <{element.tag}> has '{unknown[0]}'; known: {', '.join(sorted(known))}"
        )
    if "toName" in element.attrib and element.get("toName") not in objects:
        raise AnnotateError(
            f"the labelling screen's <{element.tag}> is for '{element.get('toName')}', which it does not show"
        )
    if element.tag == "Markdown" and parent.tag == "Panel":
        raise AnnotateError(
            "the labelling screen has a <Markdown> right inside a <Panel>, which kills the editor; put a <View> between"
        )
    if element.tag == "Style" and ">" in (element.text or ""):
        raise AnnotateError(
            "the labelling screen's <Style> uses '>', which reaches the browser escaped; use class names alone"
        )
