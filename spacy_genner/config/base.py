"""The base class of all settings: a pydantic model that raises coded errors.

An option is declared once, as a field with its type, default and description. Its type
carries an `ErrorCode`, which names the message for a value that the type refuses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import CoreSchema, core_schema

from ..errors import Errors


@dataclass(frozen=True)
class ErrorCode:
    """The message for a value that a type refuses, as the last item of `Annotated`.

    code (str): A code of `Errors`. Its message may have the placeholders `key`,
        `found` and `expected`.
    expected (str): The values that the type accepts. By default, those that its
        `Literal` lists.
    """

    code: str
    expected: str = ""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        expected = self.expected or f"one of {', '.join(map(repr, get_args(source)))}"
        return core_schema.custom_error_schema(
            handler(source),
            custom_error_type=self.code,
            custom_error_message="expected {expected}",
            custom_error_context={"expected": expected},
        )


class Settings(BaseModel):
    """Immutable settings of one section of a config.

    RAISES (ValueError): A setting is unknown or its value can't be used. The message
        has a code and names the first of them.

    section (str): The path of the section, such as "model.lora"; empty for the
        settings of the component.
    unknown_code (str): The code of the message for unknown settings.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    section: ClassVar[str] = ""
    unknown_code: ClassVar[str] = "G403"

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
            return
        except ValidationError as error:
            problems = error.errors(include_url=False)
        # Outside of the handler, so that no traceback shows pydantic's error.
        raise ValueError(self.explain(values, problems))

    @classmethod
    def explain(cls, values: dict[str, Any], problems: Sequence[Any]) -> str:
        """Write the message for values that can't be used.

        values (dict[str, Any]): The values of all settings.
        problems (Sequence[ErrorDetails]): The errors that pydantic found.
        RETURNS (str): A message with its code.
        """
        unknown = sorted(
            str(problem["loc"][0])
            for problem in problems
            if problem["type"] == "extra_forbidden"
        )
        if unknown:
            return getattr(Errors, cls.unknown_code).format(
                key=cls.section, found=unknown, expected=", ".join(cls.model_fields)
            )
        path = [cls.section] if cls.section else []
        path += [str(part) for part in problems[0]["loc"][:1]]
        return _message(".".join(path), problems[0])


def check(kind: Any, key: str, value: Any) -> Any:
    """Check a single setting.

    kind (Any): An annotated type with an `ErrorCode`.
    key (str): The path of the setting, such as "decoder.batch_tokens".
    value (Any): Its value.
    RETURNS (Any): The value as that type.
    RAISES (ValueError): The value can't be used.
    """
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
    raise ValueError(_message(key, problem))


def _message(key: str, problem: Any) -> str:
    context = problem.get("ctx", {})
    if "error" in context:
        # A validator raised an error that has its message already.
        return str(context["error"])
    message: str = getattr(Errors, problem["type"])
    return message.format(key=key, found=problem["input"], expected=context["expected"])
