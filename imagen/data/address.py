"""What is an address, and no path of this machine."""

import re


def is_address(where: object) -> bool:
    """Whether that is an address, known or not, and no path. One slash too few makes no path of it: it would be a folder
    "s3:" here."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/|pipe:", str(where)) is not None
