"""How long a server has given no usable answer."""

from .waits import Timing

# A server that gave none to so many questions in a row, or to so many as are under way
# at a time, is gone.
_HOPELESS = 8
# It gets this many times the patience where it did answer before: some texts, which may
# stand together, make a server fail.
_PROVEN = 2


class Streak:
    """Failures in a row of all questions of a call.

    timing (Timing): Time.
    max_concurrent (int): How many questions are under way at a time.
    """

    def __init__(self, timing: Timing, max_concurrent: int):
        self._timing = timing
        self._most = max(_HOPELESS, max_concurrent)
        self._since: float | None = None
        self.has_answered = False
        self.given_up = 0

    @property
    def is_hopeless(self) -> bool:
        """Whether no other question is to be sent."""
        return self.given_up >= self._most * (_PROVEN if self.has_answered else 1)

    def failed(self) -> float:
        """Count a try that failed.

        RETURNS (float): Seconds since the first one of the streak.
        """
        now = self._timing.clock()
        if self._since is None:
            self._since = now
        return now - self._since

    def end(self, answered: bool) -> None:
        """Begin anew: the server is there.

        answered (bool): Whether that shows in an answer, or in the refusal of one
            question.
        """
        self.has_answered = self.has_answered or answered
        self._since = None
        self.given_up = 0
