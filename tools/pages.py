"""Puts what a command measured into a page, between two markers of it."""

import sys


def replace(page, begin, end, text):
    """Replaces what stands between `begin` and `end` in the file `page`, a pathlib.Path, by `text`; says so and ends where the page has not one such place."""
    before, *rest = page.read_text().split(begin)
    if len(rest) != 1 or end not in rest[0]:
        sys.exit(f"{page} has {len(rest)} places for this table, between {begin} and {end}; one is wanted")
    after = rest[0].split(end, 1)[1]
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}")
