"""A page to try pipelines and to correct annotations (the extra `app`).

`edits`, `documents`, `ordering` and `session` are free of models and of the page.
`models` runs pipelines, and `page` shows both with Gradio.
"""
