"""Run the command line: `python -m spacy_genner ...`, or the `genner` script."""

import gc

from .models.gc_pause import paused_gc

with paused_gc():
    from .cli import app


def main() -> None:
    """Run a command of `genner`, as `python -m spacy genner` does."""
    try:
        app(prog_name="genner")
    finally:
        # When Python exits, it goes through all objects several times to find cycles,
        # for a second after torch and transformers were imported. The process ends
        # with them in any case.
        gc.freeze()


if __name__ == "__main__":
    main()
