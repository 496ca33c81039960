"""A second question about each span: is it right?"""

from .verifier import Judge, Verdict, Verifier

__all__ = ["Judge", "Verdict", "Verifier"]
