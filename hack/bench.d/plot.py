"""A line chart as SVG: a quantity over the number of nodes, on a logarithmic axis."""
import math
import pathlib


def chart(path: pathlib.Path, title: str, lines: list[tuple[str, str, bool, list[tuple[int, float]]]], ticks: list[int], low: float = 0.95) -> None:
    """`lines`: name, colour, whether dashed (a bound, without dots), points of (nodes, value). `ticks`: numbers of nodes to name."""
    width, height, left, top = 720, 360, 60, 30
    right, bottom = width - 170, height - 50
    high = max(1.25, max(value for *_, points in lines for _, value in points) + 0.05)
    most = math.log10(max(ticks)) or 1
    step = next(s for s in (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10) if (high - low) / s <= 10)

    def point(nodes, value):
        return left + (right - left) * math.log10(nodes) / most, bottom - (bottom - top) * (value - low) / (high - low)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{width}" height="{height}" fill="white"/>', f'<text x="{left}" y="18" font-size="14">{title}</text>']
    value = 1.0
    while value <= high + 1e-9:
        y = point(1, value)[1]
        out.append(f'<line x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#ddd"/>'
                   f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.2f}</text>')
        value += step
    for nodes in ticks:
        out.append(f'<text x="{point(nodes, low)[0]:.1f}" y="{bottom + 18}" text-anchor="middle">{nodes}</text>')
    out.append(f'<text x="{(left + right) / 2}" y="{height - 12}" text-anchor="middle">nodes</text>')
    for place, (name, colour, is_dashed, points) in enumerate(lines):
        style = ' stroke-dasharray="5 4"' if is_dashed else ""
        drawn = " ".join("{:.1f},{:.1f}".format(*point(*p)) for p in points)
        out.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"{style}/>')
        if not is_dashed:
            out += ['<circle cx="{:.1f}" cy="{:.1f}" r="3" fill="{}"/>'.format(*point(*p), colour) for p in points]
        out.append(f'<text x="{right + 10}" y="{top + 20 + place * 20}" fill="{colour}">{name}</text>')
    path.write_text("\n".join(out + ["</svg>"]) + "\n")


COLOURS = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b"]
# Mean width of a character of 11 px of a sans-serif font.
CHARACTER = 6.8


def shortened(text: str, width: float) -> str:
    """As much of the text as fits."""
    most = int(width / CHARACTER)
    return text if len(text) <= most else text[:max(0, most - 1)] + "…"


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def quantity(value: float, unit: str) -> str:
    """A number with the unit's sign, as Grafana's unit names say."""
    if unit in ("bytes", "Bps"):
        for size, sign in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B")):
            if abs(value) >= size or size == 1:
                return f"{value / size:.3g} {sign}{'/s' if unit == 'Bps' else ''}"
    if unit == "s":
        return f"{value / 86400:.3g} d" if value >= 172800 else f"{value / 3600:.3g} h" if value >= 7200 else f"{value:.3g} s" if value >= 1 else f"{value * 1000:.3g} ms"
    return f"{value:.0%}" if unit == "percentunit" else f"{value:.3g}{' /s' if unit == 'ops' else ''}"


def panels(path: pathlib.Path, rows: list[tuple[str, list[dict]]], columns: int = 3) -> None:
    """Rows of small charts over time, as SVG. A panel: title, unit, kind (stat: the last values as numbers), and lines of (legend, [(seconds, value)]);
    also bands, spans of (first second, last second) that are shaded, and span, the first and last second (default: those of the lines)."""
    width, gap, chart_height, stat_height = 1140, 14, 150, 58
    out, top = [], 10
    for heading, members in rows:
        out.append(f'<text x="{gap}" y="{top + 18}" font-size="15" font-weight="bold">{escaped(heading)}</text>')
        top += 28
        for kind, across, height in (("stat", 5, stat_height), ("chart", columns, chart_height)):
            some = [one for one in members if (one["kind"] == "stat") == (kind == "stat")]
            for index, panel in enumerate(some):
                wide = (width - gap * (across + 1)) / across
                x, y = gap + (wide + gap) * (index % across), top + (height + gap) * (index // across)
                out += [f'<rect x="{x:.0f}" y="{y:.0f}" width="{wide:.0f}" height="{height}" fill="#fff" stroke="#d5d9de" rx="3"/>',
                        f'<text x="{x + 8:.0f}" y="{y + 16:.0f}" font-size="12" fill="#444">{escaped(shortened(panel["title"], wide - 16))}</text>']
                out += stat(panel, x, y, wide) if kind == "stat" else lines(panel, x, y, wide, height)
            top += (height + gap) * -(-len(some) // across)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" font-family="sans-serif" font-size="11">'
    path.write_text("\n".join([head, f'<rect width="{width}" height="{top}" fill="#f4f5f7"/>', *out, "</svg>"]) + "\n")


def stat(panel: dict, x: float, y: float, wide: float) -> list[str]:
    said = "   ".join(f"{quantity(points[-1][1], panel['unit'])} {legend}" for legend, points in panel["lines"] if points and (points[-1][1] or len(panel["lines"]) == 1))
    return [f'<text x="{x + 8:.0f}" y="{y + 42:.0f}" font-size="13" fill="#1f77b4">{escaped(shortened(said, (wide - 16) * 0.85))}</text>']


def lines(panel: dict, x: float, y: float, wide: float, height: float) -> list[str]:
    left, right, upper, lower = x + 62, x + wide - 10, y + 28, y + height - 38
    every = [point for _, points in panel["lines"] for point in points]
    if not every:
        return []
    begin, end = panel.get("span") or (min(at for at, _ in every), max(at for at, _ in every))
    most = max(value for _, value in every) or 1
    out = []
    for first, last in panel.get("bands", []):
        edges = [left + (right - left) * (min(max(at, begin), end) - begin) / ((end - begin) or 1) for at in (first, last)]
        out.append(f'<rect x="{edges[0]:.1f}" y="{upper:.0f}" width="{max(1.0, edges[1] - edges[0]):.1f}" height="{lower - upper:.0f}" fill="#fbe3d6"/>')
    for share in (0, 0.5, 1):
        level = lower - (lower - upper) * share
        out += [f'<line x1="{left:.0f}" y1="{level:.1f}" x2="{right:.0f}" y2="{level:.1f}" stroke="#e8eaed"/>',
                f'<text x="{left - 5:.0f}" y="{level + 4:.1f}" text-anchor="end" fill="#666">{quantity(most * share, panel["unit"])}</text>']
    out += [f'<text x="{left:.0f}" y="{lower + 14:.0f}" fill="#666">0 s</text>',
            f'<text x="{right:.0f}" y="{lower + 14:.0f}" text-anchor="end" fill="#666">{end - begin:.0f} s</text>']
    shown = panel["lines"][:4]
    for index, (legend, points) in enumerate(shown):
        drawn = " ".join(f"{left + (right - left) * (at - begin) / ((end - begin) or 1):.1f},{lower - (lower - upper) * value / most:.1f}" for at, value in points)
        colour, place = COLOURS[index % len(COLOURS)], (wide - 16) / len(shown)
        out += [f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="1.6"/>',
                f'<text x="{x + 8 + place * index:.0f}" y="{y + height - 8:.0f}" fill="{colour}">{escaped(shortened(legend, place - 6))}</text>']
    return out
