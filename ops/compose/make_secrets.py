"""Makes passwords: `python3 ops/compose/make_secrets.py`, once, with any Python 3.

Writes ops/compose/compose.env (mode 0600) from compose.env.example, with a password for each user, and
ops/redis/users.acl from users.acl.example, with their hashes alone: Redis reads it as a user of its container, so it
has to be readable. Files that are there already are left as they are.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import sys
from pathlib import Path

OPS = Path(__file__).resolve().parents[1]


def main(ops: Path = OPS) -> int:
    """Write both files under `ops`; returns the exit code."""
    settings, users = ops / "compose" / "compose.env", ops / "redis" / "users.acl"
    for path in (settings, users):
        if path.exists():
            print(f"{path} is there already; remove both files to make new passwords.", file=sys.stderr)
            return 1
    example = (ops / "compose" / "compose.env.example").read_text(encoding="utf-8")
    text = re.sub(r"(?m)^(\w+_PASSWORD)=$", lambda match: f"{match[1]}={secrets.token_urlsafe(24)}", example)
    passwords = dict(re.findall(r"(?m)^REDIS_(\w+_PASSWORD)=(.+)$", text))
    acl = (ops / "redis" / "users.acl.example").read_text(encoding="utf-8")
    for name, password in passwords.items():
        acl = acl.replace(f">{name} ", f"#{hashlib.sha256(password.encode()).hexdigest()} ")
    with os.fdopen(os.open(settings, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    users.write_text(acl, encoding="utf-8", newline="\n")
    users.chmod(0o644)
    print(f"{settings}\n{users}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
