"""A bar chart as SVG: one panel per workload, each on its own scale."""

from xml.sax.saxutils import escape

WIDTH, LABEL, VALUE, ROW, TITLE, GAP, TOP = 860, 130, 190, 26, 30, 18, 64
COLORS = {"ringway": "#1f6feb", "ringway-epoll": "#79a8f0", "floor": "#b8b8b8"}
OTHER = "#8a6d9e"


def chart(panels, caption):
    """The picture of `(title, [(name, least, median, most), …])` panels."""
    height = TOP + sum(TITLE + ROW * len(bars) + GAP for _, bars in panels)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}"'
        f' viewBox="0 0 {WIDTH} {height}" font-family="Helvetica, Arial, sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        text(16, 28, "CPU time per request, µs (less is better)", 17, weight="bold"),
        text(16, 48, caption, 12, color="#555555"),
    ]
    y = TOP
    for title, bars in panels:
        out.append(text(16, y + 19, title, 14, weight="bold"))
        y += TITLE
        scale = (WIDTH - LABEL - VALUE) / max(most for _, _, _, most in bars)
        for bar in bars:
            out += row(y, bar, scale)
            y += ROW
        y += GAP
    return "\n".join(out + ["</svg>"]) + "\n"


def row(y, bar, scale):
    """One bar with its name, its value, and a line from the least to the most."""
    name, least, middle, most = bar
    left, right = LABEL + least * scale, LABEL + most * scale
    line = y + ROW / 2 - 2
    return [
        text(LABEL - 8, y + 16, name, 13, anchor="end"),
        f'<rect x="{LABEL}" y="{y + 2}" width="{middle * scale:.1f}" height="{ROW - 8}"'
        f' fill="{COLORS.get(name, OTHER)}"/>',
        f'<path d="M{left:.1f} {line - 4}v8M{left:.1f} {line}H{right:.1f}M{right:.1f} {line - 4}v8"'
        ' stroke="#222222" stroke-width="1.2" fill="none"/>',
        text(right + 8, y + 16, f"{middle:.1f} [{least:.1f}–{most:.1f}]", 13),
    ]


def text(x, y, words, size, anchor="start", weight="normal", color="#111111"):
    return (
        f'<text x="{x:.1f}" y="{y}" font-size="{size}" text-anchor="{anchor}"'
        f' font-weight="{weight}" fill="{color}">{escape(words)}</text>'
    )
