"""A terminal that a run is shown in."""

import logging


class Screen:
    """A terminal: styled lines, and below them what is drawn again twice a second."""

    def __init__(self, default: logging.StreamHandler):
        # Here, so that the jobs of a cluster, which parse the Snakefile, too, do not load it.
        from rich.console import Console

        colours = {"no_color": True} if getattr(default, "nocolor", False) else {}
        self.console = Console(
            file=default.stream, force_terminal=True, highlight=False, markup=False, emoji=False, **colours
        )

    def print(self, text: str, style: str) -> None:
        self.console.print(text, style=style or None, soft_wrap=True)

    def live(self, now):
        """Start to draw what `now` returns, until `stop` is called on what is returned."""
        from rich.live import Live

        live = Live(
            get_renderable=lambda: self._draw(*now()), console=self.console, transient=True, refresh_per_second=2
        )
        live.start()
        # A run that is killed must not leave a terminal without a cursor.
        self.console.show_cursor(True)
        return live

    def _draw(self, rows, more: int, done: int, total: int, clock: str):
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        jobs = Table.grid(padding=(0, 2))
        jobs.add_column(no_wrap=True, overflow="ellipsis", min_width=24)
        jobs.add_column(justify="right", no_wrap=True)
        jobs.add_column(no_wrap=True, overflow="ellipsis", style="dim")
        for name, spent, words in rows:
            jobs.add_row(Text(name), spent, Text(words))
        if more:
            jobs.add_row(Text(f"and {more} more"))
        bar = Table.grid(padding=(0, 2))
        bar.add_row(ProgressBar(total=max(total, 1), completed=done, width=40), f"{done} of {total} jobs", clock)
        return Group(Text(""), jobs, bar)
