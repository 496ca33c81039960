"""Hypothesis strategies for spans and documents."""

from hypothesis import strategies as st

from spacy_genner.formats import CharSpan

SPANS = st.lists(
    st.builds(
        lambda start, size, label: CharSpan(start, start + size, label),
        st.integers(0, 12),
        st.integers(1, 9),
        st.sampled_from("XYZ"),
    ),
    max_size=8,
)
# Gold and predicted spans of documents. They share more spans than random ones would.
DOCUMENTS = st.lists(
    st.tuples(SPANS, SPANS, SPANS).map(
        lambda parts: ([*parts[0], *parts[1]], [*parts[1], *parts[2]])
    ),
    max_size=5,
)
