"""The group that every command joins."""

import typer

HELP = """Generative named entity recognition: corpora, training, annotation, scores.

\b
A first round:
  python -m spacy genner convert corpus/train.txt corpus/train.spacy --from bracketed
  python -m spacy train configs/demo.cfg --output training/demo
  python -m spacy genner evaluate training/demo/model-best corpus/test.spacy --output
      metrics/demo.json
"""

app = typer.Typer(name="genner", help=HELP, no_args_is_help=True, rich_markup_mode=None)
