"""Where all tables and messages are printed: texts of data, which may hold anything, command no terminal."""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from mixbench.errors import printable


class Terminal(Console):
    """A console that shows control characters of a text as their escapes; styles are its own affair."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of what is printed, each text in them printable."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)
