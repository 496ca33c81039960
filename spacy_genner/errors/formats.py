"""What can be said of the output formats: the codes G0."""


class FormatErrors:
    G001 = (
        "The span {span} is empty or lies outside the text of {size} characters. Give "
        "start and end in characters of that text, end exclusive."
    )
    G002 = (
        "The span {span} starts or ends with white space: {found!r}. Move its ends to "
        "the first and last characters that are none."
    )
    G003 = "The label {label!r} can't stand in the format {format}: expected {rule}."
    G004 = (
        "The spans {first} and {second} cross, which marks in the text can't say. "
        "Leave one out, or use a JSON format."
    )
    G005 = "There is no format {found!r}. The formats are {expected}."
