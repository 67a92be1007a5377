"""The class of classes whose fields are parameters: it says in our words what a field lacks."""

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, PydanticUserError

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    # It has no public name.
    ModelMetaclass = type(BaseModel)


class ModelClass(ModelMetaclass):
    """Makes a class of parameters. A field without a type is refused in one line.

    Example:
        >>> class Task(BaseModel, metaclass=ModelClass):
        ...     pass
        >>> class Mine(Task):
        ...     hidden = 16
        Traceback (most recent call last):
            ...
        TypeError: Mine.hidden must have a type, got hidden = 16. Try: hidden: int = 16
    """

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **settings: Any) -> Any:
        try:
            return super().__new__(cls, name, bases, namespace, **settings)
        except PydanticUserError as error:
            if error.code != "model-field-missing-annotation":
                raise
            field, value = _find_untyped(namespace, str(error))
            kind = type(value).__name__
            plain = isinstance(value, bool | int | float | str)
            example = f"{field}: {kind} = {value!r}" if plain else f"{field}: ClassVar = …, from typing"
            got = f"{field} = {value!r}" if plain else f"{field} = an object of {kind}"
            raise TypeError(f"{name}.{field} must have a type, got {got}. Try: {example}") from None


def _find_untyped(namespace: dict[str, Any], message: str) -> tuple[str, Any]:
    """The name that pydantic's message begins with, `RNG = …`, and its value."""
    known = [(name, value) for name, value in namespace.items() if f"`{name} = " in message]
    return known[0] if known else ("a field", None)
