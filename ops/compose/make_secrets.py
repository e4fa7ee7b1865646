"""Makes passwords: `python3 ops/compose/make_secrets.py`, once, with any Python 3.

Writes ops/compose/compose.env (mode 0600) from compose.env.example, with a password for each user and a key for the
gateway. Their hashes alone go into ops/redis/users.acl, from users.acl.example, and ops/compose/keys.toml: Redis and
the gateway read these as users of their containers, so they have to be readable. Files that are there already are left
as they are.
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
    """Write the files under `ops`; returns the exit code."""
    settings, users, keys = ops / "compose" / "compose.env", ops / "redis" / "users.acl", ops / "compose" / "keys.toml"
    for path in (settings, users, keys):
        if path.exists():
            print(f"{path} is there already; remove {settings}, {users} and {keys} to make new ones.", file=sys.stderr)
            return 1
    example = (ops / "compose" / "compose.env.example").read_text(encoding="utf-8")
    text = re.sub(r"(?m)^(\w+_(?:PASSWORD|KEY))=$", lambda match: f"{match[1]}={secrets.token_urlsafe(24)}", example)
    passwords = dict(re.findall(r"(?m)^REDIS_(\w+_PASSWORD)=(.+)$", text))
    acl = (ops / "redis" / "users.acl.example").read_text(encoding="utf-8")
    for name, password in passwords.items():
        acl = acl.replace(f">{name} ", f"#{_hash(password)} ")
    holders = "".join(f'[client]\nsha256 = "{_hash(key)}"\n' for key in re.findall(r"(?m)^HTTP_KEY=(.+)$", text))
    with os.fdopen(os.open(settings, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    for path, hashes in ((users, acl), (keys, holders)):
        path.write_text(hashes, encoding="utf-8", newline="\n")
        path.chmod(0o644)
    print(f"{settings}\n{users}\n{keys}")
    return 0


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
