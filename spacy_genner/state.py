"""What a saved component holds besides its adapter."""

from dataclasses import dataclass
from typing import Any

from .errors import Errors

VERSION = 1


@dataclass(frozen=True)
class SavedState:
    """What training has fixed. Settings of use are the config's alone.

    labels (Dict[str, str]): Label to definition, which may be empty.
    format (str): The output format.
    readings (int): How often the prompt holds the text.
    demonstrations (List[Tuple[str, str]]): Texts and marked outputs in the prompt.
    base (str): The base's name when it was saved.
    checksum (str): The base's checksum.
    """

    labels: dict[str, str]
    format: str
    readings: int
    demonstrations: list[tuple[str, str]]
    base: str
    checksum: str

    def to_json(self) -> dict[str, Any]:
        """RETURNS (Dict[str, Any]): The state as JSON holds it."""
        return {
            "version": VERSION,
            # A list of pairs: the order is part of the format.
            "labels": [[label, text] for label, text in self.labels.items()],
            "format": self.format,
            "readings": self.readings,
            "demonstrations": [list(pair) for pair in self.demonstrations],
            "base": {"name": self.base, "checksum": self.checksum},
        }

    @classmethod
    def from_json(cls, data: Any) -> "SavedState":
        """Read what `to_json` gave.

        data (Any): The data.
        RETURNS (SavedState): The state.
        RAISES (ValueError): It is something else.
        """
        try:
            if data["version"] != VERSION:
                raise ValueError(Errors.G417.format(found=data["version"]))
            return cls(
                labels={str(label): str(text) for label, text in data["labels"]},
                format=str(data["format"]),
                readings=int(data["readings"]),
                demonstrations=[(str(a), str(b)) for a, b in data["demonstrations"]],
                base=str(data["base"]["name"]),
                checksum=str(data["base"]["checksum"]),
            )
        except (KeyError, TypeError) as err:
            raise ValueError(Errors.G418.format(reason=repr(err))) from err
