"""A component's draft head: made or read when something first needs it."""

from typing import TYPE_CHECKING

from .settings import check_switch

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .draft_head import DraftHead


class DraftHeadSlot:
    """Where a component keeps its draft head. Needs no torch as long as it is empty.

    wanted (bool): Whether training makes one.
    RAISES (ValueError): `wanted` is neither true nor false.
    """

    def __init__(self, wanted: bool):
        self.wanted = check_switch("draft_head", wanted)
        self._head: DraftHead | None = None
        self._saved = b""
        self._where = ""

    def for_training(
        self, width: int, labels: int, device: "torch.device", seed: int
    ) -> "DraftHead | None":
        """The head to train: a new one where there is none for so many labels.

        width (int): The size of a hidden state.
        labels (int): How many labels there are.
        device (torch.device): Where it is to be.
        seed (int): Fixes the first weights of a new one.
        RETURNS (Optional[DraftHead]): The head; None where none is wanted.
        """
        if not self.wanted:
            return None
        head = self._fitting(labels)
        if head is None:
            from .draft_head import DraftHead

            head = self._head = DraftHead(width, labels, seed)
        return head.to(device)

    def for_decoding(self, labels: int, device: "torch.device") -> "DraftHead | None":
        """The head to draft with.

        labels (int): How many labels there are.
        device (torch.device): Where it is to be.
        RETURNS (Optional[DraftHead]): The head; None where there is none that was
            trained for so many labels.
        """
        head = self._fitting(labels)
        return head.to(device) if head is not None and head.trained else None

    def parameters(self) -> "dict[str, nn.Parameter]":
        """RETURNS (Dict[str, nn.Parameter]): Name to weight; none where there is no
        head. Heads for other numbers of labels have other names."""
        head = self._made()
        if head is None:
            return {}
        return {
            f"draft_head.{head.labels}.{name}": parameter
            for name, parameter in head.named_parameters()
        }

    def clear(self) -> None:
        """Have no head."""
        self._head, self._saved = None, b""

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): The head's weights; empty where there is none that was
        trained."""
        if self._head is None:
            return self._saved
        return self._head.to_bytes() if self._head.trained else b""

    def from_bytes(self, data: bytes, where: str) -> None:
        """Take what `to_bytes` gave. It is read at first use.

        data (bytes): The weights, or nothing.
        where (str): Where they come from, for messages.
        """
        self._head, self._saved, self._where = None, data, where

    def _made(self) -> "DraftHead | None":
        if self._head is None and self._saved:
            from .draft_head import DraftHead

            self._head = DraftHead.from_bytes(self._saved, self._where)
        return self._head

    def _fitting(self, labels: int) -> "DraftHead | None":
        head = self._made()
        return head if head is not None and head.labels == labels else None
