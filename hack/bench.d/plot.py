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
