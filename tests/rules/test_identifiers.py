"""Identifiers and their normal forms (semantics, section 2)."""

from __future__ import annotations

from unicodedata import normalize

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given
from hypothesis import strategies as st

from rules.catalog import Value
from rules.identifiers import EXPECTED, IdentifierType, fold, normalise, same_identifier


@pytest.mark.parametrize(
    ("value", "normal"),
    [
        ("ada@example.com", "ada@example.com"),
        ("  Ada.Lovelace@Example.COM\n", "ada.lovelace@example.com"),
        ("o'brien+tag@sub.example.co.uk", "o'brien+tag@sub.example.co.uk"),
        ("STRASSE@example.com", "strasse@example.com"),
        ("straße@example.com", "strasse@example.com"),
        ("ada@Bücher.de", "ada@xn--bcher-kva.de"),
        ("ada@XN--BCHER-KVA.de", "ada@xn--bcher-kva.de"),
        ("jose\u0301@example.com", "jos\u00e9@example.com"),
        ("用户@例子.广告", "用户@xn--fsqu00a.xn--4rr70v"),
        ("ada@www.Bücher.de", "ada@www.xn--bcher-kva.de"),
        ("a" * 64 + "@example.com", "a" * 64 + "@example.com"),
        ("ada@" + "abcdefghi." * 24 + "abcdef.com", "ada@" + "abcdefghi." * 24 + "abcdef.com"),  # 254 characters
        ("é" * 32 + "@example.com", "é" * 32 + "@example.com"),  # 64 bytes
    ],
)
def test_an_email_is_trimmed_folded_and_its_domain_as_the_dns_knows_it(value: str, normal: str) -> None:
    assert normalise("email", value) == normal


@pytest.mark.parametrize(
    "value",
    [
        "", "  ", "ada", "ada@", "@example.com", "ada@example", "ada@@example.com", "a b@example.com", "ada@exa mple.com",
        ".ada@example.com", "ada.@example.com", "a..da@example.com", "ada@-example.com", "ada@example-.com", "ada@.com",
        "ada@example..com", "ada@127.0.0.1", "ada@[127.0.0.1]", '"a b"@example.com', "Ada <ada@example.com>", "ada@example.com,bob@example.com",
        "a" * 65 + "@example.com", "ada@" + "a" * 64 + ".com", "ada@" + "a." * 130 + "com", "ada@exam_ple.com", "ada@xn--zz.com",
        "ada@" + "abcdefghi." * 24 + "abcdefg.com", "é" * 33 + "@example.com", "adá@" + "abcdefghi." * 24 + "abcdef.com",
        "n/a", "unknown", "a\u200bda@example.com", "ada\x00@example.com", "mailto:ada@example.com", "ada@example.com.", "\u0301ada@example.com",
    ],
)  # fmt: skip
def test_what_is_no_valid_email_identifies_nobody(value: str) -> None:
    assert normalise("email", value) is None


_NEARLY_EMAILS = st.from_regex(r"[ -~]{0,12}@[a-z0-9.\-_A-Z]{0,12}(\.[a-z]{1,4})?", fullmatch=True)


@given(st.emails() | _NEARLY_EMAILS)
@example("a@b.c")
def test_an_ascii_address_is_judged_as_by_email_validator(address: str) -> None:
    stripped = address.strip()
    try:
        validate_email(stripped, check_deliverability=False, globally_deliverable=False, allow_quoted_local=False)
        is_valid = "." in stripped.rpartition("@")[2]  # a host of the own network is no identifier
        top = stripped.rpartition(".")[2]
        is_valid = is_valid and not top.isdigit()
    except EmailNotValidError:
        is_valid = False
    assert (normalise("email", address) is not None) == is_valid


@pytest.mark.parametrize(
    ("value", "normal"),
    [
        ("acme.com", "acme.com"),
        ("www.Acme.com", "acme.com"),
        ("https://www.acme.com:8443/path?x=1#top", "acme.com"),
        ("HTTP://Acme.COM.", "acme.com"),
        ("//cdn.acme.com/x", "cdn.acme.com"),
        ("acme.com/about", "acme.com"),
        ("acme.com?x", "acme.com"),
        ("https://user:secret@acme.com/", "acme.com"),
        ("www.www.acme.com", "acme.com"),
        ("www.com", "www.com"),
        ("www2.acme.com", "www2.acme.com"),
        ("Bücher.de", "xn--bcher-kva.de"),
        ("xn--bcher-kva.de", "xn--bcher-kva.de"),
        ("bücher。de", "xn--bcher-kva.de"),
        ("straße.de", "xn--strae-oqa.de"),
        ("r3---sn-x.acme.com", "r3---sn-x.acme.com"),
        ("_dmarc.acme.com", "_dmarc.acme.com"),
        ("abcdefghi." * 25 + "com", "abcdefghi." * 25 + "com"),  # 253 characters
    ],
)
def test_a_domain_is_the_host_alone(value: str, normal: str) -> None:
    assert normalise("domain", value) == normal


@pytest.mark.parametrize(
    "value",
    ["", " ", "localhost", "none", "n/a", "-", "unknown", ".", "127.0.0.1", "http://[::1]/", "info@acme.com", "acme .com", "acme..com",
     "-acme.com", "https://", "acme.com:port", "mailto:a@acme.com", "a" * 64 + ".com", "xn--zz.com", "www.", "http:///x",
     "abcdefghi." * 25 + "info"],
)  # fmt: skip
def test_what_is_no_host_with_a_dot_matches_nothing(value: str) -> None:
    assert normalise("domain", value) is None


def test_a_name_is_trimmed_its_spaces_collapsed_and_folded() -> None:
    assert normalise("name", "  ACME \t  Gmbh\u00a0& Co ") == "acme gmbh & co"
    assert normalise("name", "Café") == normalise("name", "Cafe\u0301".upper())
    assert normalise("name", "Straße 1") == normalise("name", "STRASSE 1")
    assert normalise("name", " \n ") is None


def test_a_sku_is_trimmed_and_an_exact_value_left_alone() -> None:
    assert normalise("sku", " Ab-1 ") == "Ab-1"
    assert normalise("exact", " Ab-1 ") == " Ab-1 "
    assert normalise("sku", "  ") is None
    assert normalise("exact", "  ") is None


@pytest.mark.parametrize(
    ("value", "normal"), [(0, "0"), (17, "17"), (False, "false"), (None, None), (["a@b.com"], None)]
)
def test_numbers_identify_by_their_text_and_lists_not_at_all(value: Value, normal: str | None) -> None:
    assert normalise("exact", value) == normal


def test_an_empty_identifier_never_matches() -> None:
    for kind in IdentifierType:
        for empty in (None, "", "  "):
            assert not same_identifier(kind, empty, empty)
    assert not same_identifier("email", "n/a", "n/a")


def test_identifiers_are_the_same_when_their_normal_forms_are() -> None:
    assert same_identifier("domain", "www.Acme.com", "acme.com")
    assert same_identifier("exact", 17, "17")
    assert not same_identifier("sku", "a", "A")


_ANY_TEXT = (
    st.text()
    | st.text("aAß.@ -\u0301\u0345ΣσςİıŉǰΐﬁK\u00a0w:/", max_size=14)
    | st.emails()
    | st.builds("https://{}/".format, st.text("abc.ü", max_size=8))
)


@given(st.sampled_from(tuple(IdentifierType)), _ANY_TEXT)
def test_normalising_twice_changes_nothing(kind: IdentifierType, value: str) -> None:
    normal = normalise(kind, value)
    assert normal is None or normalise(kind, normal) == normal


@given(_ANY_TEXT)
def test_canonically_equal_texts_fold_alike_and_folding_again_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert fold(normalize("NFC", text)) == fold(normalize("NFD", text)) == fold(text)


@given(st.text(st.characters(max_codepoint=0x17F, categories=("Lu", "Ll"))))
def test_upper_and_lower_case_fold_alike(text: str) -> None:
    assert fold(text.casefold()) == fold(text)
    assert fold(text.lower()) == fold(text)


@given(st.sampled_from((IdentifierType.EMAIL, IdentifierType.DOMAIN, IdentifierType.NAME)), _ANY_TEXT)
def test_space_around_it_makes_no_difference(kind: IdentifierType, text: str) -> None:
    assert normalise(kind, f" {text}\n") == normalise(kind, text)


def test_every_kind_says_which_identifiers_it_expects() -> None:
    from rules.config import RecordKind

    assert set(EXPECTED) == set(RecordKind)
