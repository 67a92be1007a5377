"""Identities: one spelling for each meaning, read back to the same meaning, everything else refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2obench.bench.config.identity import IdentityError, format_identity, parse_identity

keys = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
plain = st.one_of(
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
    st.text(max_size=12),
)
texts = st.text(max_size=6)
values = st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))


@given(parameters=st.dictionaries(keys, values, max_size=4))
def test_canonical_reads_back_to_the_same(parameters: dict[str, object]) -> None:
    text = format_identity("task.of:mine", parameters)
    name, found = parse_identity(text)
    assert (name, found) == ("task.of:mine", parameters)
    assert format_identity(name, found) == text


@given(text=st.text(max_size=40))
def test_any_text_is_read_or_refused_with_an_identity_error(text: str) -> None:
    try:
        name, parameters = parse_identity(text)
    except IdentityError:
        return
    assert parse_identity(format_identity(name, parameters)) == (name, parameters)


def test_order_and_spelling_do_not_matter() -> None:
    spellings = ["m[b=1e-1,a=relu]", "m[a=relu,b=0.1]", 'm[a="relu",b=.1]']
    assert {format_identity(*parse_identity(text)) for text in spellings} == {"m[a=relu,b=0.1]"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not an identity"),
        ("a b", "not an identity"),
        ("m[", "not an identity"),
        ("m[a]", "expected key=value"),
        ("m[a=]", "value is missing"),
        ("m[a=1,]", "expected"),
        ("m[a=1 b=2]", "expected"),
        ("m[a=1,a=2]", "gives a twice"),
        ('m[a="x]', "does not end"),
        ("m[a=[1,2]", "no JSON at"),
        ("m[a=[x]]", "no JSON at"),
        (f"m[a={'[' * 20_000}]", "no JSON at"),
        ("m[a=(0.9,0.99)]", r"must be written as a list. Try: \[0.9,0.99\]"),
    ],
)
def test_errors_say_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(IdentityError, match=message):
        parse_identity(text)
