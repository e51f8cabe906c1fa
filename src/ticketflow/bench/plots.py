"""Plots as SVG files: the same figures give the same bytes, so that a file that did not change shows no difference.

Colours are those of Okabe and Ito, told apart with any colour vision; each line has a mark of its own besides.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ticketflow.bench.frame import Plot, of_development
from ticketflow.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_MARKS = "osD^vPX"
_INK, _GRID = "#333333", "#dddddd"
_STYLE: Any = {
    "svg.hashsalt": "ticketflow",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}
_ROOM_UP, _ROOM_DOWN = 1.25, 0.8
"""How far a logarithmic axis goes on beyond the outermost points."""


def check(folder: Path) -> None:
    """Make the folder where it is missing. Raises ``ConfigurationError`` when plots cannot be drawn or put there, which
    is better known before hours of measuring than after them."""
    with of_development():
        import matplotlib  # noqa: F401
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ConfigurationError(f"plots cannot be written to {folder}: {error.strerror}") from error


def write(plot: Plot, folder: Path) -> Path:
    """Draw the plot into ``folder``; the file has the plot's name. Raises ``ConfigurationError`` as ``check`` does."""
    with of_development():
        import matplotlib as mpl
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    path = folder / f"{plot.name}.svg"
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8.5, 4.8), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12))
        _draw(plot, figure.subplots())
        try:
            figure.savefig(path, format="svg", metadata={"Date": None, "Creator": "ticketflow", "Title": plot.title})
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error
    return path


def _draw(plot: Plot, axes: Axes) -> None:
    for place, (label, points) in enumerate(plot.lines.items()):
        axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            label=label,
            color=_COLOURS[place % len(_COLOURS)],
            marker=_MARKS[place % len(_MARKS)],
            markersize=6,
            linewidth=2,
        )
    axes.set_title(plot.title, loc="left", fontsize=13, pad=12)
    axes.set_xlabel(plot.x)
    axes.set_ylabel(plot.y)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    every = [point for points in plot.lines.values() for point in points]
    _scale(axes, "x", [x for x, _ in every], logarithmic=plot.log_x, ticks=sorted({x for x, _ in every}))
    _scale(axes, "y", [y for _, y in every], logarithmic=plot.log_y)
    if len(plot.lines) > 1:
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0)


def _scale(
    axes: Axes, name: Literal["x", "y"], values: list[float], *, logarithmic: bool, ticks: Sequence[float] = ()
) -> None:
    """``ticks``: of a logarithmic axis, which has them at 1, 2 and 5 of each power of ten where none are given. A
    linear one begins at 0."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

    axis = axes.xaxis if name == "x" else axes.yaxis
    if logarithmic:
        bounds = (min(values) * _ROOM_DOWN, max(values) * _ROOM_UP)
        axes.set(**{f"{name}scale": "log", f"{name}lim": bounds})
        axis.set_major_locator(FixedLocator(list(ticks)) if ticks else LogLocator(subs=(1, 2, 5)))
        axis.set_minor_locator(NullLocator())
    else:
        axes.set(**{f"{name}lim": (0, max(values) * 1.05 or 1)})
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
