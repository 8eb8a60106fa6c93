#!/usr/bin/python3
"""Speaks to the server of this container, where the official image has mongosh.

mongo-admin create-root   creates the user that the environment names; needs no login on an empty server
mongo-admin ping          exits with 0 if the server answers
"""

import os
import sys

from pymongo import MongoClient

client = MongoClient(
    "127.0.0.1", 27017, serverSelectionTimeoutMS=30_000, directConnection=True
)
what = sys.argv[1] if len(sys.argv) == 2 else ""
if what == "ping":
    client.admin.command("ping")
elif what == "create-root":
    client.admin.command(
        "createUser",
        os.environ["MONGO_INITDB_ROOT_USERNAME"],
        pwd=os.environ["MONGO_INITDB_ROOT_PASSWORD"],
        roles=[{"role": "root", "db": "admin"}],
    )
else:
    sys.exit(__doc__)
