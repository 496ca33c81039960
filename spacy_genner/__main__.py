"""Run the command line: `python -m spacy_genner ...`, or the `genner` script."""

from .cli import app


def main() -> None:
    """Run a command of `genner`, as `python -m spacy genner` does."""
    app(prog_name="genner")


if __name__ == "__main__":
    main()
