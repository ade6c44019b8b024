"""The labelling screen, and the check that stands in for the server's, which accepts anything."""

from xml.etree import ElementTree as ET

import pytest

from annotate.errors import AnnotateError
from annotate.label_studio.screen import check, find_screen
from annotate.labels import CATEGORIES


def test_the_screen_has_a_key_for_every_class_and_both_pictures():
    screen = ET.fromstring(find_screen())
    labels = {label.get("value"): label.get("hotkey") for label in screen.iter("Label")}
    assert list(labels) == list(CATEGORIES)
    keys = [*labels.values(), *(choice.get("hotkey") for choice in screen.iter("Choice"))]
    assert len(set(keys)) == len(keys)
    assert [image.get("name") for image in screen.iter("Image")] == ["birdseye", "cameras"]


@pytest.mark.parametrize(
    ("xml", "said"),
    [
        ("<View><ReactCode/></View>", "<ReactCode>"),
        ('<View><Image name="a" value="$a" smothing="false"/></View>', "smothing"),
        ('<View><Image name="a" value="$a"/><Choices name="c" toName="b"/></View>', "'b'"),
        ('<View><Collapse><Panel value="p"><Markdown value="m"/></Panel></Collapse></View>', "Panel"),
        ("<View><Style>.a &gt; .b { }</Style></View>", "escaped"),
        ("<View>", "XML"),
    ],
)
def test_what_is_not_known_to_work_is_refused(xml, said):
    with pytest.raises(AnnotateError, match=said):
        check(xml)


def test_more_classes_than_keys_are_refused():
    with pytest.raises(AnnotateError, match="1 to 9"):
        find_screen([f"c{k}" for k in range(10)])
