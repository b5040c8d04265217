"""The cursor of a table and the rows on the screen as one thing: the cursor is always seen."""

from __future__ import annotations

from collections.abc import Sequence


class Cursor:
    """Which row the cursor is on, and which row is the first on the screen.

    Until a person moves it, it is on the first row, whichever that is. Then it stays on its row,
    and the row on its line of the screen. `go_to_first` lets it follow the first row again.
    """

    def __init__(self) -> None:
        self.key: str | None = None
        self.index = 0
        self.offset = 0
        self.follows = True
        self.rows_on_screen = 1

    def place(self, keys: Sequence[str], *, keep: bool) -> None:
        """Find the row again among these. Without rows, `keep` says whether it may come back."""
        if not keys:
            self.index = self.offset = 0
            self.key = self.key if keep else None
            return
        before = self.index
        if self.follows:
            self.index = self.offset = 0
        elif self.key in keys:
            self.index = keys.index(self.key or "")
            self.offset += self.index - before
        else:
            self.index = min(self.index, len(keys) - 1)
        self.key = keys[self.index]
        self._clamp(len(keys))

    def resize(self, rows_on_screen: int, count: int) -> None:
        """So many of `count` rows fit on the screen."""
        self.rows_on_screen = rows_on_screen
        self._clamp(count)

    def move_to(self, index: int, keys: Sequence[str]) -> None:
        """A person moves the cursor to this row, or to the nearest one that exists."""
        if not keys:
            return
        self.follows = False
        self.index = max(min(index, len(keys) - 1), 0)
        self.key = keys[self.index]
        self._clamp(len(keys))

    def go_to_first(self, keys: Sequence[str]) -> None:
        """A person moves the cursor to the first row: it follows that place from now on."""
        self.move_to(0, keys)
        self.follows = True

    def scroll(self, lines: int, keys: Sequence[str]) -> None:
        """Show other rows; the cursor stays on its row for as long as that one is seen."""
        last = max(len(keys) - self.rows_on_screen, 0)
        self.offset = max(min(self.offset + lines, last), 0)
        end = self.offset + self.rows_on_screen - 1
        self.move_to(max(min(self.index, end), self.offset), keys)

    def _clamp(self, count: int) -> None:
        """No empty lines where there are rows for them, and the cursor among those shown."""
        rows = self.rows_on_screen
        self.offset = max(min(self.offset, self.index, count - rows), self.index - rows + 1, 0)
