"""Text from outside, made fit to be kept."""

import msgspec
import pytest

from adapters import texts


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a\x00b\nc" + "d" * 50, "a b cddd"),
        ("  Rose  ", "Rose"),
        ("\tx\u2028y", "x y"),
        ("", ""),
        ("Größe 1", "Größe 1"),
    ],
)
def test_free_text_is_cut_and_has_no_control_characters(given: str, kept: str) -> None:
    assert texts.clip(given, 8) == kept


def test_why_bytes_cannot_be_read_names_no_value() -> None:
    said = []
    for raw in (b'{"amount": "secret"}', b'"\xff\xfe secret"', b"[" * 100_000):
        with pytest.raises(texts.UNREADABLE) as caught:
            msgspec.json.decode(raw, type=dict[str, int])
        said.append(texts.why(caught.value))
    assert "secret" not in " ".join(said)
    assert said[0].startswith("Expected `int`")
    assert len(set(said)) >= 2


def test_undecodable_text_and_deep_nesting_have_fixed_words() -> None:
    assert texts.why(UnicodeDecodeError("utf-8", b"secret", 0, 1, "secret")) == "not UTF-8"
    assert texts.why(RecursionError("secret")) == "nested too deep"
