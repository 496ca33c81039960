"""Where the first draft of a document comes from. Registered as they stand; importing
this module loads no torch."""

from typing import Protocol

from spacy.tokens import Doc, Span

from ..errors import Errors


class Drafter(Protocol):
    """Says what is known of a document's spans before it is decoded.

    asks_head (bool): Whether the draft head is asked, where there is one and nothing
        else is known.
    """

    asks_head: bool

    def expected(self, doc: Doc) -> list[Span] | None:
        """Spans that a document probably has.

        doc (Doc): The document.
        RETURNS (Optional[List[Span]]): The spans; None where nothing is known.
        """


class CopyDrafter:
    """Drafts the plain copy: nothing is known. Registered as
    `spacy-genner.CopyDrafter.v1`."""

    asks_head = False

    def expected(self, doc: Doc) -> list[Span] | None:
        return None


class HeadDrafter(CopyDrafter):
    """Drafts what the component's draft head says, where it has one: it is trained
    with the adapter unless `model.draft_head` is false. Registered as
    `spacy-genner.HeadDrafter.v1`."""

    asks_head = True


class DocSpansDrafter(HeadDrafter):
    """Drafts the spans that an earlier component left in the Doc: a small model drafts,
    the language model decides. Registered as `spacy-genner.DocSpansDrafter.v1`.

    Documents without the group are drafted as by `HeadDrafter`. Spans with labels that
    the component lacks are passed over.

    spans_key (Optional[str]): The group of `doc.spans`; None for `doc.ents`.
    RAISES (ValueError): It is neither a string nor None.
    """

    def __init__(self, spans_key: str | None = "sc"):
        if spans_key is not None and not isinstance(spans_key, str):
            raise ValueError(
                Errors.G407.format(
                    key="drafter.spans_key",
                    found=spans_key,
                    expected="the name of a group, null for doc.ents",
                )
            )
        self.spans_key = spans_key

    def expected(self, doc: Doc) -> list[Span] | None:
        if self.spans_key is None:
            return list(doc.ents) if doc.has_annotation("ENT_IOB") else None
        group = doc.spans.get(self.spans_key)
        return None if group is None else list(group)
