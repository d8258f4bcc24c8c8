"""Writes Sources/DataPlane/StatusPage/PageText.swift: the page of `modelcache ui`, for programs that have no files beside them.

usage: python3 hack/lib/page.py [--check]     --check writes nothing and ends with 1 when the file is not what it would be
"""
import base64
import hashlib
import re
import sys

from made import REPOSITORY, settle

FOLDER = REPOSITORY / "Sources/DataPlane/StatusPage"


def digest(page: str, tag: str) -> str:
    """As a Content-Security-Policy names the one element of this kind (CSP 3, 2.3.1)."""
    [text] = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.S)
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def source(page: str) -> str:
    if '"""#' in page or "\\#" in page:
        raise SystemExit('page.html: """# and \\# would end or change the literal')
    return f'''/// The page as it is sent. Made of page.html by hack/generate: edit that file.
enum PageText {{
    /// Of the page's style and script, for its Content-Security-Policy.
    static let styleDigest = "{digest(page, "style")}"
    static let scriptDigest = "{digest(page, "script")}"

    static let html = #"""
{page}"""#
}}
'''


if __name__ == "__main__":
    sys.exit(settle("page", {FOLDER / "PageText.swift": source((FOLDER / "page.html").read_text())}))
