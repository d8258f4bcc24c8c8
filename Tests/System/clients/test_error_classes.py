"""The table of error codes in docs/stores.md (a unit test holds it against the code) beside what the official SDKs repeat."""
import json
import pathlib
import re

import botocore
from alibabacloud_oss_v2.retry import error_retryable
from botocore.retries import standard

PAGE = pathlib.Path(__file__).parents[3] / "docs" / "stores.md"
REPEATED = {"retry", "waitAsTold"}


def classes() -> dict[str, str]:
    found = {}
    for line in PAGE.read_text().splitlines():
        row = re.fullmatch(r"\| ((?:`[\w.]+` ?)+) *\| (\w+) \|", line)
        if row:
            for code in re.findall(r"`([\w.]+)`", row[1]):
                assert code not in found, f"{code} is there twice"
                found[code] = row[2]
    assert len(found) > 80
    return found


def test_each_code_that_botocore_repeats_is_repeated():
    codes = set(standard.TransientRetryableChecker._TRANSIENT_ERROR_CODES)
    throttled = set(standard.ThrottledRetryableChecker._THROTTLED_ERROR_CODES)
    rules = json.loads((pathlib.Path(botocore.__file__).parent / "data" / "_retry.json").read_text())
    for rule in rules["definitions"].values():
        code = rule.get("applies_when", {}).get("response", {}).get("service_error_code")
        if code:
            codes.add(code)
    table = classes()
    wrong = {code: table.get(code) for code in codes | throttled if table.get(code) not in REPEATED}
    assert not wrong


def test_each_code_that_the_OSS_SDK_repeats_is_repeated_but_for_the_clock():
    table = classes()
    codes = error_retryable.ServiceErrorCodeRetryable()._error_codes
    # The SDK corrects its clock by the store's and tries again; we name the difference.
    wrong = {code: table.get(code) for code in codes if table.get(code) not in REPEATED | {"clock"}}
    assert not wrong


def test_the_statuses_that_both_SDKs_repeat_are_named_on_the_page():
    text = PAGE.read_text()
    # 401: the OSS SDK asks for new credentials, which we do by the code.
    statuses = error_retryable.HTTPStatusCodeRetryable()._status_code - {401}
    assert statuses == {408, 429}
    assert "429, 503 and 509 are `waitAsTold`; 408, 425 and other 5xx are `retry`" in text
    assert set(standard.TransientRetryableChecker._TRANSIENT_STATUS_CODES) == {500, 502, 503, 504}


def test_no_code_that_is_permanent_is_repeated_by_an_SDK():
    table = classes()
    permanent = {code for code, kind in table.items() if kind == "permanent"}
    repeated = set(standard.TransientRetryableChecker._TRANSIENT_ERROR_CODES) | set(
        standard.ThrottledRetryableChecker._THROTTLED_ERROR_CODES) | error_retryable.ServiceErrorCodeRetryable()._error_codes
    assert not permanent & repeated
