"""A survey of a file that holds no individual number; of one that does nothing is told but where."""

from collections.abc import Callable
from functools import partial

from app.formats import number_in_files as numbers
from app.formats.guidance import FileRefused
from app.formats.individual_number import REFUSED
from app.formats.opening import open_tables
from app.formats.stored import StoredFile
from app.formats.survey import Survey
from app.formats.told import Told


def guarded(file: StoredFile, told: Told, survey: Callable[[], Survey]) -> Survey:
    """How the file is read, unless it holds an individual number: nothing is noted of one that does.

    Raises `FileRefused`.
    """
    places = numbers.look_through(file)
    try:
        found = survey()
        numbers.check_name(found.table.name)
        numbers.check_labels(found.table.head.labels)
        numbers.check_others(partial(open_tables, file, told), found.table)
        if places:
            numbers.check_found(found.table, places)
    except FileRefused as unread:
        if places and unread.code != REFUSED:  # it has lines, and no columns
            raise numbers.refused(places) from unread
        raise
    return found
