"""Work on many items at once, in which one item's failure is its own."""

from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def isolated(
    work: Callable[[Sequence[Item]], Sequence[Result]],
    items: Sequence[Item],
    lost: Callable[[Item, Exception], Result],
) -> list[Result]:
    """Work on items together, and where that fails on each alone.

    work (Callable): Gives a result for each item.
    items (Sequence): The items; without any, nothing is done.
    lost (Callable): The result of an item that fails even alone, given the error.
    RETURNS (List): A result for each item.
    """
    if not items:
        return []
    try:
        return list(work(items))
    except Exception as error:
        if len(items) == 1:
            return [lost(items[0], error)]
        return [isolated(work, [item], lost)[0] for item in items]
