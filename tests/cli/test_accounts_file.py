"""What a file of many accounts may look like, and what is said of one that is none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from token_refresher_cli.accounts_file import Line, read_accounts, text_of, without_account
from token_refresher_cli.fields import FormError


def lines(text: str) -> list[tuple[int, str, dict[str, Any]]]:
    """Read a file in which nothing is wrong."""
    read, wrong = read_accounts(text)
    assert wrong == []
    return [(one.number, one.account, one.fields) for one in read]


def problems(text: str) -> list[tuple[int, str, str]]:
    """Read a file in which something is wrong."""
    return [(one.number, one.account, one.problem) for one in read_accounts(text)[1]]


def refused(text: str) -> str:
    """Read what is no file of accounts."""
    with pytest.raises(FormError) as refusal:
        read_accounts(text)
    assert "made-up" not in str(refusal.value)
    return str(refusal.value)


# JSON lines.


def test_each_line_of_json_is_an_account_and_empty_ones_are_passed_over() -> None:
    text = '\n{"account": "a", "scope": "x\u2028y"}\r\n \n{"scope": "z", "account": "team/b"}'
    assert lines(text) == [(2, "a", {"scope": "x\u2028y"}), (4, "team/b", {"scope": "z"})]


def test_a_name_of_digits_may_be_a_number() -> None:
    assert lines('{"account": 17}') == [(1, "17", {})]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"scope": "made-up"}', "`account` is missing"),
        ('{"account": null}', "`account` is missing"),
        ('{"account": "a", "scope": "x", "scope": "y"}', "it gives `scope` twice"),
        ('{"account": "made up"}', "`account` must be a name of letters, digits and /_+=.@- alone"),
        ('{"account": true}', "`account` must be a name of letters, digits and /_+=.@- alone"),
        (
            '{"account": "made-up"',
            "it ends too early: a quote, a bracket or a brace is missing",
        ),
        ('{"account": "a", "password": "made-up\\ud800"}', "half a character: write it whole"),
        (
            '"made-up"',
            "it is a text and no object: was it written as JSON twice?",
        ),
    ],
)
def test_a_line_that_is_no_account_is_told_by_its_number(line: str, problem: str) -> None:
    assert problems(f'{{"account": "a"}}\n{line}\n') == [(2, "", problem)]
    if line.startswith("{"):
        assert problems(f'{line}\n{{"account": "a"}}\n') == [(1, "", problem)]
        assert problems(line) == [(1, "", problem)]


def test_a_line_that_is_no_json_is_told_by_its_column_too() -> None:
    _, wrong = read_accounts('{"account": "a"}\n{"account": "b",}\r\n{"account": "c", }\n["d"]\n')
    told = "the comma before it is one too many"
    assert [(one.number, one.column) for one in wrong] == [
        (2, "column 17"),
        (3, "column 18"),
        (4, ""),
    ]
    assert [one.problem for one in wrong[:2]] == [told, told]


def test_an_account_that_is_there_twice_is_told_with_both_lines() -> None:
    text = '{"account": "a"}\n{"account": "b"}\n{"account": "a", "scope": "other"}\n'
    assert problems(text) == [(3, "a", "line 1 has the same account")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ("\n \n", "it is empty"),
        ('[{"account": "made-up"}]', "it is a JSON list: write each account on a line of its own"),
        ('\n{\n "account": "made-up"\n}\n', "it is one JSON object over several lines: "),
        ("account,scope\n", "there is no account in it"),
        ("name,scope\nmade-up,x\n", "it is neither JSON lines nor CSV with a column `account`"),
        ('"made-up', "it is neither JSON lines nor CSV with a column `account`"),
        ("account,scope,scope\n", "two columns are called `scope`"),
        ("account,made-up key,made-up key\n", "two columns are called `…`"),
        ("account,,scope\n", "a column, or a part of its name, has no name"),
        ("account,publish.\n", "a column, or a part of its name, has no name"),
    ],
)
def test_what_is_no_file_of_accounts_says_why(text: str, said: str) -> None:
    assert refused(text).startswith(said)


# CSV.


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_cells_are_read_whatever_a_spreadsheet_puts_between_them(delimiter: str, end: str) -> None:
    rows = ["account,client_id,scope", "a,1,x", 'b,"2,;\t3",', ",,", "", "c,,z"]
    text = end.join(row.replace(",", delimiter) for row in rows)
    second = "2,;\t3".replace(",", delimiter)
    assert lines(text) == [
        (2, "a", {"client_id": "1", "scope": "x"}),
        (3, "b", {"client_id": second}),
        (6, "c", {"scope": "z"}),
    ]


def test_excel_may_say_itself_what_stands_between() -> None:
    assert lines("sep=;\r\naccount;scope\r\na;x\r\n") == [(3, "a", {"scope": "x"})]


def test_quotes_and_line_ends_stand_within_quotes() -> None:
    text = 'account,password,ca_certificates\na,"say ""x""","1\r\n2\n3"\nb,y,\n'
    assert lines(text) == [
        (2, "a", {"password": 'say "x"', "ca_certificates": "1\r\n2\n3"}),
        (5, "b", {"password": "y"}),
    ]


def test_blanks_are_kept_so_that_they_are_told_and_names_of_columns_have_none() -> None:
    assert lines("account , password\na, x\n") == [(2, "a", {"password": " x"})]


def test_dotted_names_are_fields_of_objects() -> None:
    columns = {
        "account": "a",
        "provider_parameters.domain": "acme.my",
        "extra_parameters.resource.id": "r",
        "publish.fields": "instance_url data.0.id",
        "publish.as.token": "{access_token}",
        "grant_parameters.auth.name": "n",
        "grant_parameters.auth.key": "k",
        "dialect": '{"request_format": "json"}',
    }
    quoted = ",".join('"' + cell.replace('"', '""') + '"' for cell in columns.values())
    [(_, _, fields)] = lines(f"{','.join(columns)}\n{quoted}\n")
    assert fields == {
        "provider_parameters": {"domain": "acme.my"},
        "extra_parameters": {"resource.id": "r"},
        "publish": {"fields": ["instance_url", "data.0.id"], "as": {"token": "{access_token}"}},
        "grant_parameters": {"auth": {"name": "n", "key": "k"}},
        "dialect": '{"request_format": "json"}',
    }


@pytest.mark.parametrize(
    ("cell", "value"),
    [('["a b", "c"]', ["a b", "c"]), ("[a", "[a"), ("a", ["a"])],
)
def test_a_list_is_words_or_json(cell: str, value: object) -> None:
    quoted = cell.replace('"', '""')
    [(_, _, fields)] = lines(f'account,publish.fields\na,"{quoted}"\n')
    assert fields == {"publish": {"fields": value}}


@pytest.mark.parametrize("columns", ["publish,publish.fields", "publish.fields,publish"])
def test_an_object_is_given_in_one_way(columns: str) -> None:
    problem = "`publish` is given both as a whole and in parts"
    assert problems(f"account,{columns}\na,x,y\n") == [(2, "", problem)]


def test_a_row_of_another_length_hints_at_a_value_that_is_not_quoted() -> None:
    text = "account;client_id;password\na;1;made;up\nb;1\nc;1;x\n"
    more = "it has 4 cells, and the header 3: a value with ; in it stands in quotes"
    less = "it has 2 cells, and the header 3: a value with ; in it stands in quotes"
    assert problems(text) == [(2, "", more), (3, "", less)]


def test_a_quote_that_is_not_closed_is_told_where_it_begins() -> None:
    text = 'account,password\na,x\nb,"made-up\nc,y\nd,z\n'
    [(number, account, problem)] = problems(text)
    assert (number, account) == (3, "")
    assert problem.startswith("a quote is not closed, or not doubled within quotes")


def test_a_cell_that_is_longer_than_any_secret_is_told_as_that() -> None:
    [(number, _, problem)] = problems(f'account,password\na,x\nb,"{"made-up" * 20_000}"\n')
    assert (number, problem.endswith("or a cell is longer than a secret holds")) == (3, True)


def test_powershell_may_say_a_type_before_the_header() -> None:
    text = '#TYPE System.Management.Automation.PSCustomObject\r\n"account";"scope"\r\n"a";"x"\r\n'
    assert lines(text) == [(3, "a", {"scope": "x"})]


def test_empty_columns_beside_the_table_are_none() -> None:
    assert lines("account,scope,,\na,x,,\nb,y\n") == [
        (2, "a", {"scope": "x"}),
        (3, "b", {"scope": "y"}),
    ]
    [(number, _, problem)] = problems("account,scope,,\na,x,,made-up\n")
    assert (number, problem.partition(":")[0]) == (2, "it has 4 cells, and the header 2")


@pytest.mark.parametrize("cell", ["#NAME?", "#REF!", "#N/A", "1.23457E+11", "1,23457E+11", "1E+20"])
def test_what_a_spreadsheet_made_of_a_value_is_not_taken_for_it(cell: str) -> None:
    [(number, _, problem)] = problems(f'account,client_id\na,x\nb,"{cell}"\n')
    assert number == 3
    assert problem.startswith("`client_id` is what a spreadsheet shows instead of what was entered")


# Bytes, and files of one account.


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_in_utf_16_says_what_to_save_it_as(encoding: str) -> None:
    for text in ('{"account": "a"}', "account,scope\na,x\n"):
        with pytest.raises(FormError, match="it is UTF-16: save it as UTF-8"):
            text_of(text.encode(encoding))


def test_a_byte_order_mark_is_dropped() -> None:
    assert lines(text_of(b"\xef\xbb\xbfaccount,scope\na,x\n")) == [(2, "a", {"scope": "x"})]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("account\n".encode("utf-16"), "it is UTF-16: save it as UTF-8, in Excel as CSV UTF-8"),
        (b"account\nM\xfcller\n", "line 2 is not UTF-8: save it as UTF-8, in Excel as CSV UTF-8"),
    ],
)
def test_what_is_not_utf_8_is_told_what_to_save_it_as(content: bytes, said: str) -> None:
    with pytest.raises(FormError) as refusal:
        text_of(content)
    assert str(refusal.value) == said


def test_a_file_of_one_account_may_name_it() -> None:
    assert without_account({"account": "a", "scope": "x"}, "a") == {"scope": "x"}
    assert without_account({"scope": "x"}, "a") == {"scope": "x"}
    with pytest.raises(FormError):
        without_account({"account": "made-up"}, "a")


def test_nothing_of_a_line_but_its_name_is_shown() -> None:
    assert (
        repr(Line(1, "a", json.loads('{"password": "made-up"}'))) == "Line(number=1, account='a')"
    )
