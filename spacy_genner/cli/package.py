"""`genner package`: make a Python package of a pipeline, with a model card."""

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ..io import read_text
from ._util import Code, Model, SpansKey, app, choice, reports_errors

# Those of `spacy_genner.hub.package`, which is imported when the command runs.
_BUILDS = ("wheel", "sdist", "none")


def _text(*flags: str, help: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        *flags, help=help, show_default=False
    )
    return option


@app.command("package")
@reports_errors
def package(
    model: Model,
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUTDIR",
            help="The folder that receives the folder NAME-VERSION.",
        ),
    ],
    scores: Annotated[
        Path | None,
        typer.Option(
            "--scores",
            "-s",
            metavar="FILE.json",
            help="The evaluation of the pipeline, which the card shows.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None, _text("--name", "-n", help="The name, without the language.")
    ] = None,
    version: Annotated[
        str | None, _text("--version", "-v", help="The version.")
    ] = None,
    license: Annotated[
        str | None,
        _text(
            "--license",
            "-l",
            help="The license of the pipeline, such as mit. Default: that of the base, "
            "if its terms cover adapters.",
        ),
    ] = None,
    license_file: Annotated[
        Path | None,
        _text("--license-file", help="The text of the license, as LICENSE."),
    ] = None,
    description: Annotated[
        str, _text("--description", "-d", help="What the pipeline is for.")
    ] = "",
    author: Annotated[str, _text("--author", help="The author.")] = "",
    email: Annotated[str, _text("--email", help="The author's email address.")] = "",
    url: Annotated[str, _text("--url", help="The author's web page.")] = "",
    data_name: Annotated[
        str, _text("--data-name", help="The name of the corpus.")
    ] = "",
    data_url: Annotated[
        str, _text("--data-url", help="The web page of the corpus.")
    ] = "",
    data_license: Annotated[
        str, _text("--data-license", help="The license of the corpus.")
    ] = "",
    citation: Annotated[
        Path | None,
        _text("--citation", help="A file that says how to cite the corpus (BibTeX)."),
    ] = None,
    build: Annotated[
        str | None,
        choice(
            "--build",
            "-b",
            allowed=_BUILDS,
            help="What to build from the folder. Default: wheel.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Replace an existing folder.")
    ] = False,
    spans_key: SpansKey = None,
    code: Code = None,
) -> None:
    """Make a Python package of a pipeline: a folder with a model card, and a wheel.

    The card (README.md) has the labels, the data, the scores, the settings of the
    training, the base with its license, and how to use the pipeline. The weights of the
    base are not part of the package, which requires the Python package that provides
    them, if there is one.

    \b
    Example:
      python -m spacy genner package training/demo/model-best dist --name demo
          --version 1.0.0 --scores metrics/demo.json --data-license "CC BY 4.0"
      pip install dist/en_demo-1.0.0/dist/en_demo-1.0.0-py3-none-any.whl
    """
    from spacy.cli._util import import_code

    from ..hub.card import CardInfo
    from ..hub.package import PackageSettings, make_package, read_scores

    import_code(code)
    info = CardInfo(
        package="",
        version="",
        license=license,
        description=description,
        author=author,
        data_name=data_name,
        data_url=data_url,
        data_license=data_license,
        citation="" if citation is None else read_text(citation),
    )
    settings = PackageSettings(
        card=info,
        name=name,
        version=version,
        email=email,
        url=url,
        license_file=license_file,
        spans_key=spans_key,
        build=build or "wheel",
        force=force,
        code=code,
    )
    found = None if scores is None else read_scores(scores)
    made = make_package(model, output, settings, found)
    msg.good(f"Package: {made.folder}")
    if made.archive is not None:
        msg.good(f"Archive: {made.archive}")
    msg.info(f"Share it: python -m spacy genner push {made.folder} ORG/{made.name}")
