"""Draw the rooms of the house and the two walks through it as an SVG picture; `docs/generate.py` writes it."""

from dataclasses import dataclass
from html import escape

WIDTH, ROW, BOX, TOP = 1080, 92, 56, 78
BANDS = (
    ("words and values", ("types", "metrics", "registry", "atomic_file", "cores")),
    ("what is computed, what is asked", ("workloads", "spaces", "problems")),
    ("what a choice means", ("hardware", "tools", "cost_model", "mapping")),
    ("what it costs, and the memory of it", ("evaluators", "log", "execution")),
    ("what learns and searches", ("surrogates", "optimizers")),
    ("where everything meets", ("studies", "reports", "benchmarks", "cli", "testing")),
)
DESIGN = ("spaces", "problems", "optimizers", "execution", "evaluators", "log", "surrogates", "studies", "reports")
WORKLOAD = ("workloads", "problems", "mapping", "cost_model", "evaluators", "execution", "log", "studies", "reports")
COLOURS = {"design": "#0b6e99", "workload": "#c4621b"}


@dataclass(frozen=True)
class Place:
    """Where a room's box stands: its centre and its width."""

    x: float
    y: float
    width: float


def places() -> dict[str, Place]:
    """Return where each room stands; rooms below may import those above and to their left."""
    found = {}
    for band, (_, rooms) in enumerate(BANDS):
        width = (WIDTH - 260) / 5 - 16
        for number, room in enumerate(rooms):
            found[room] = Place(250 + number * (width + 16) + width / 2, TOP + band * ROW + BOX / 2, width)
    return found


def picture() -> str:
    """Return the picture."""
    where = places()
    height = TOP + len(BANDS) * ROW + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        'role="img" aria-label="The rooms of Armillary and the walks of a design and of a workload through them">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        *_legend(),
    ]
    for band, (title, _) in enumerate(BANDS):
        y = TOP + band * ROW
        parts.append(f'<rect x="12" y="{y - 12}" width="{WIDTH - 24}" height="{ROW - 12}" rx="8" fill="#f4f6f8"/>')
        parts.append(f'<text x="28" y="{y + BOX / 2 + 5}" font-size="14" fill="#5b6673">{escape(title)}</text>')
    walks = (("design", [where[r] for r in DESIGN], -11), ("workload", [where[r] for r in WORKLOAD], 11))
    for walk, stops, shift in walks:
        parts.append(_line(walk, stops, shift))
    for room, place in where.items():
        parts.append(
            f'<rect x="{place.x - place.width / 2}" y="{place.y - BOX / 2 + 12}" width="{place.width}" height="32" '
            'rx="6" fill="#ffffff" stroke="#8a95a3"/>'
        )
        parts.append(
            f'<text x="{place.x}" y="{place.y + 5}" font-size="15" text-anchor="middle" fill="#1d2733">{room}</text>'
        )
    for walk, stops, _ in walks:
        parts += _numbers(walk, stops)
    return "\n".join([*parts, "</svg>", ""])


def _legend() -> list[str]:
    parts = []
    for number, (walk, text) in enumerate((("design", "the walk of a design"), ("workload", "the walk of a workload"))):
        x = 28 + 240 * number
        parts.append(f'<line x1="{x}" y1="36" x2="{x + 36}" y2="36" stroke="{COLOURS[walk]}" stroke-width="3"/>')
        parts.append(f'<text x="{x + 46}" y="41" font-size="15" fill="#1d2733">{text}</text>')
    return parts


def _line(walk: str, stops: list[Place], shift: float) -> str:
    """Return the line through the stops."""
    line = " ".join(f"{stop.x + shift * 3:.0f},{stop.y + shift * 0.6:.0f}" for stop in stops)
    return f'<polyline points="{line}" fill="none" stroke="{COLOURS[walk]}" stroke-width="2.5" stroke-opacity="0.8"/>'


def _numbers(walk: str, stops: list[Place]) -> list[str]:
    """Return the numbers of the stops, those of one walk on the left, those of the other on the right."""
    parts = []
    for number, stop in enumerate(stops, start=1):
        x, y = stop.x + (-stop.width / 2 + 4 if walk == "design" else stop.width / 2 - 4), stop.y - 12
        parts.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="10" fill="{COLOURS[walk]}"/>')
        parts.append(
            f'<text x="{x:.0f}" y="{y + 4:.0f}" font-size="12" text-anchor="middle" fill="#ffffff">{number}</text>'
        )
    return parts
