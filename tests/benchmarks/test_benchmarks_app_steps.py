"""The benchmark of the steps of a correction."""


def test_the_steps_are_timed(import_benchmark, capsys):
    import_benchmark("app_steps").main(docs=3, steps=3)
    documents, opening, step = capsys.readouterr().out.splitlines()
    assert documents.startswith("3 documents of") and documents.endswith(", 1 left")
    assert opening.startswith("opening: ") and "median of 3" in step
