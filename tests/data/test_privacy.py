"""What is private is found, and nothing like it, on cases worked by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.cleaning import make_step
from data.privacy import is_card, is_resident_id

MASKED = {
    "urls": [
        ("见https://例.com?不https://a.com/路径。", "见https://例.com?不<url>路径。"),
        ("(http://x.org/a_(b)). www.foo.com/x?y=1&z=2, HTTP://A.B!", "(<url>). <url>, <url>!"),
        ("ftp://f.org/x awww.x www. http:// a.com", "<url> awww.x www. http:// a.com"),
    ],
    "emails": [
        ("Mail bob.x+y@mail.example.co.uk. 邮箱a@b.cn。", "Mail <email>. 邮箱<email>。"),
        ("@user a@b 3@4.5 me at x.com", "@user a@b 3@4.5 me at x.com"),
    ],
    "phones": [
        ("电话13812345678。+86 138-1234-5678，8613812345678", "电话<phone>。<phone>，<phone>"),
        ("010-12345678, (0755) 87654321, +44 20 7946 0958", "<phone>, <phone>, <phone>"),
        ("+1 (415) 555-2671; 415-555-2671; (415) 555-2671", "<phone>; <phone>; <phone>"),
        *[(text, text) for text in ("12345678901 13812345678901", "3.13812345678", "2023-01-05 10:30")],
        ("+123456 1+2=3, 1234567890", "+123456 1+2=3, 1234567890"),
    ],
    "ids": [
        ("身份证11010519491231002X，错的110105194912310021", "身份证<id>，错的110105194912310021"),
        ("4111 1111 1111 1111, 4111-1111-1111-1112; 378282246310005", "<card>, 4111-1111-1111-1112; <card>"),
        ("SSN 123-45-6789, not 000-45-6789 or 1-123-45-6789", "SSN <ssn>, not 000-45-6789 or 1-123-45-6789"),
        ("192.168.0.1:80 8.8.8.8. 1.2.3.4.5 256.1.1.1", "<ip>:80 <ip>. 1.2.3.4.5 256.1.1.1"),
        ("2001:db8::1 fe80::1, std::deque 12:30:45 a::b", "<ip> <ip>, std::deque 12:30:45 a::b"),
    ],
}  # fmt: skip
CASES = [(name, *case) for name, cases in MASKED.items() for case in cases]


@pytest.mark.parametrize(("name", "text", "expected"), CASES)
def test_mask_remove_and_drop(name, text, expected):
    assert make_step(name)(text) == make_step(f"{name}=mask")(text) == expected
    nothing = expected
    for mask in ("<url>", "<email>", "<phone>", "<id>", "<card>", "<ssn>", "<ip>"):
        nothing = nothing.replace(mask, "")
    assert make_step(f"{name}=remove")(text) == nothing
    assert make_step(f"{name}=drop")(text) == (text if text == expected else None)


def luhn_by_table(number: str) -> bool:
    doubled = "0246813579"
    return sum(int(doubled[int(d)] if place % 2 else d) for place, d in enumerate(reversed(number))) % 10 == 0


@given(st.from_regex(r"[0-9]{13,19}", fullmatch=True))
def test_the_luhn_digit(number):
    assert is_card(number) == luhn_by_table(number)
    assert sum(is_card(number[:-1] + digit) for digit in "0123456789") == 1


WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)  # as GB 11643 prints them


@given(st.from_regex(r"[1-8][0-9]{5}19[0-9]{2}0[1-9][0-2][1-8][0-9]{3}", fullmatch=True))
def test_the_check_character_of_a_resident_id(body):
    check = "10X98765432"[sum(w * int(d) for w, d in zip(WEIGHTS, body, strict=True)) % 11]
    assert [c for c in "0123456789X" if is_resident_id(body + c)] == [check]
    assert not is_resident_id(f"{body[:10]}13{body[12:]}{check}")


PRIVATE = st.text("0123456789+-() .@:/xXabcwhtp。中") | st.lists(
    st.sampled_from(
        [
            *("13812345678", "+1", "415-555-2671", "a@b.cn", "http://", "www.", "a.b", "1.2.3.4", "::1", "123-45-6789"),
            *("4111111111111111", "11010519491231002X", "/", " ", "8", "-", "."),
        ]
    )
).map("".join)


@pytest.mark.parametrize("name", MASKED)
@pytest.mark.parametrize("action", ["mask", "remove"])
@given(PRIVATE)
@settings(deadline=None, max_examples=200)
def test_nothing_private_is_left(name, action, text):
    cleaned = make_step(f"{name}={action}")(text)
    if cleaned is not None:
        assert make_step(f"{name}=drop")(cleaned) == cleaned


@pytest.mark.parametrize("name", MASKED)
@pytest.mark.parametrize(
    "piece", ["1", "+1", "a", "a@", "a.b@a.", "http://(", "(a)", "1-", "f:", "4111 ", "www.", "+1 (2) "]
)
def test_long_texts_take_no_longer_than_they_must(name, piece):
    make_step(name)(piece * 20000)
