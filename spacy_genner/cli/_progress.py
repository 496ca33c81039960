"""The progress bar of long commands."""

from collections.abc import Callable, Iterable
from typing import Any

from tqdm import tqdm


def progress_bar(
    unit: str, total: int | None = None
) -> Callable[[Iterable[Any]], Iterable[Any]]:
    """Make a wrapper that shows how far a stream has been read, on stderr.

    unit (str): What is counted.
    total (Optional[int]): How many there will be, where that is known.
    RETURNS (Callable[[Iterable[Any]], Iterable[Any]]): The wrapper. It shows nothing
        where stderr is no terminal.
    """

    def wrap(items: Iterable[Any]) -> Iterable[Any]:
        return tqdm(items, total=total, unit=f" {unit}", disable=None, leave=False)

    return wrap
