from xml.etree import ElementTree

from armillary.cost_model.explain import explain
from armillary.reports.nest_picture import nest_picture
from cost_model.test_cost import THREE_LEVELS
from cost_model.test_explain import LAYER, MAPPING


def test_the_picture_shows_levels_loops_and_traffic():
    explained = explain(THREE_LEVELS, LAYER, MAPPING)
    picture = ElementTree.fromstring(nest_picture(explained))
    texts = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    for wanted in ("DRAM x 1", "Buf x 1", "Reg x 4", "spread K in 0..3 over X", "DRAM to Buf", "Buf to Reg", "inputs"):
        assert wanted in texts, texts
    assert f"{explained.levels[0].reads[0]:,.0f} words" in texts
    tops = [float(e.get("y")) for e in picture.iter("{http://www.w3.org/2000/svg}rect") if e.get("rx")]
    assert tops == sorted(tops)
    assert len(tops) == 3
