#!/usr/bin/env python3
"""Requests that schemathesis makes up from the server's own description, as the administrator, as a user on
the server of an account, and as a user who is a member of one database. None makes the server fail, and none
is answered with a status that the description does not have.

    schema.py http://NAME:PASSWORD@HOST:PORT [EXAMPLES [SEED]]

Without EXAMPLES it takes a minute, and only the administrator sends what schemathesis makes for each bound of
each parameter; with it, everybody does.

The description says which parameters there are, not which values mean something. Those stand here: names of
what is made beforehand, mixed with whatever schemathesis thinks of.
"""

import base64
import json
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from urllib.parse import quote, urlsplit

EXAMPLES = 8
SEED = 1
METHODS = ("get", "put", "post", "delete")
PASSWORD = "a password of a user"

# What the server of an account answers beside databases.
OF_ACCOUNTS = ("/", "/_all_dbs", "/_db_updates", "/_dbs_info", "/_session", "/_tokens", "/_up", "/_uuids")

DESIGN = {
    "views": {
        "v": {"map": "function (doc) { emit(doc.x, 1); }", "reduce": "_sum"},
        "w": {"map": "function (doc) { emit([doc._id, doc.x]); }"},
    },
    "updates": {
        "f": "function (doc, req) { return [{_id: req.uuid}, 'made']; }",
        "g": "function (doc, req) { return [null, {code: 202, body: 'not'}]; }",
    },
    "shows": {
        "f": "function (doc, req) { return {json: doc}; }",
        "g": "function (doc, req) { return {code: 404, body: 'not this'}; }",
    },
    "lists": {
        "f": "function (head, req) { var row; while (row = getRow()) send(toJSON(row.key)); }",
        "g": "function (head, req) { throw ['forbidden', 'not this']; }",
    },
    "filters": {"f": "function (doc, req) { return !!doc.x; }"},
    "rewrites": [
        {"from": "/doc/:id", "to": "../../:id"},
        {"from": "/v", "to": "_view/v"},
        {"from": "/loop", "to": "_rewrite/loop"},
    ],
}

REV = ["1-967a00dff5e02add41819138abb3284d", "9-b", "0-1", "1-", "2-7051cbe5c8faecd085a3fa619e6e6337"]
JSON_VALUES = ["null", "1", '"a"', '["a",{}]', '{"x":1}', "[", "-0", "1e400", '{"a":1,"a":2}']
FUNCTIONS = ["f", "g"]

# By the parameter's name, in paths and in queries.
VALUES = {
    "db": ["schema", "none", "_users", "_audit"],
    "id": ["a", "b", "c", "none", "_design/x", "_local/l"],
    "docid": ["a", "b", "none", "_design/x"],
    "attachment": ["f.txt", "folder/f.bin", "none"],
    "ddoc": ["x", "_design/x", "none"],
    "function": FUNCTIONS,
    "view": ["v", "w", "none"],
    "path": ["doc/a", "v", "loop", "none"],
    "partition": ["p"],
    "node": ["_local", "none"],
    "section": ["uuids", "cors", "admins", "query_servers"],
    "key": ["utc_id_suffix", "max_count", "javascript", *JSON_VALUES],
    "type": ["json", "text"],
    "token": ["none"],
    "rev": REV,
    "revs": ["true"],
    "open_revs": ["all", json.dumps(REV[:2]), "[]", "[1]"],
    "atts_since": [json.dumps(REV[:2]), "[1]"],
    "since": ["0", "now", "1-x", "99999999999999999999"],
    "last-event-id": ["0", "now"],
    "style": ["main_only", "all_docs"],
    "filter": ["x/f", "x/none", "_doc_ids", "_selector", "_view", "_design"],
    "doc_ids": ['["a","b"]', '[1]'],
    "batch": ["ok"],
    "group_level": [1],
    "reduce": ["true", "false"],
    "update": ["true", "false", "lazy"],
    "user": ["ada", "none"],
    "next": ["/x", "//x"],
    **dict.fromkeys(("startkey", "endkey", "start_key", "end_key", "keys"), JSON_VALUES),
}
# Where something is named that other requests need.
EXCEPTIONS = {
    ("/{db}", "put"): {"db": ["scratch", "Bad", "~x/y"]},
    ("/{db}", "delete"): {"db": ["scratch", "none", "_audit"]},
    ("/{db}/_security", "put"): {"db": ["scratch", "none", "_audit"]},
    ("/_accounts/{name}", "any"): {"name": ["bea", "none", "system"]},
    ("/_accounts/{name}/_restore", "any"): {"name": ["bea", "none"]},
}
DESIGN_NAMES = ["x", "none"]

ANY = {}
NAME = {"enum": VALUES["id"]}
DOCUMENT = {
    "type": "object",
    "properties": {
        "_id": NAME,
        "_rev": {"enum": REV},
        "_deleted": {"type": "boolean"},
        "_revisions": {
            "type": "object",
            "properties": {"start": {"type": "integer"}, "ids": {"type": "array", "items": {"type": "string"}}},
        },
        "_attachments": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": {
                    "data": {"enum": ["aGVsbG8=", "!"]},
                    "stub": {"type": "boolean"},
                    "follows": {"type": "boolean"},
                    "content_type": {"type": "string"},
                    "revpos": {"type": "integer"},
                },
            },
        },
        "x": ANY,
    },
}
SELECTOR = {
    "type": "object",
    "maxProperties": 3,
    "properties": {
        "x": {
            "type": "object",
            "maxProperties": 2,
            "propertyNames": {
                "enum": ["$eq", "$gt", "$in", "$type", "$regex", "$mod", "$elemMatch", "$size", "$not", "$exists"]
            },
        },
        "$or": {"type": "array", "maxItems": 3},
        "$text": ANY,
    },
}
FIND = {
    "type": "object",
    "required": ["selector"],
    "properties": {
        "selector": SELECTOR,
        "limit": {"type": "integer"},
        "skip": {"type": "integer"},
        "sort": {"type": "array", "items": {"enum": ["x", {"x": "desc"}, {"_id": "asc"}, 1]}},
        "fields": {"type": "array", "items": {"type": "string"}},
        "use_index": {"enum": ["x", ["x", "y"], "_design/none", 1]},
        "bookmark": {"enum": ["nil", "x"]},
        "execution_stats": {"type": "boolean"},
    },
}
REVS = {"type": "object", "additionalProperties": {"type": "array", "items": {"enum": REV}}}
KEYS = {"type": "object", "properties": {"keys": {"type": "array", "items": ANY}}}
QUERIES = {
    "type": "object",
    "properties": {
        "queries": {
            "type": "array",
            "maxItems": 4,
            "items": {
                "type": "object",
                "properties": {
                    "keys": {"type": "array"},
                    "limit": {"type": "integer"},
                    "descending": {"type": "boolean"},
                    "include_docs": {"type": "boolean"},
                    "startkey": ANY,
                },
            },
        }
    },
}
BODIES = {
    "/{db}": DOCUMENT,
    "/{db}/{id}": DOCUMENT,
    "/{db}/_local/{name}": DOCUMENT,
    "/{db}/_design/{name}": DOCUMENT,
    "/{db}/_bulk_docs": {
        "type": "object",
        "properties": {
            "docs": {"type": "array", "maxItems": 5, "items": DOCUMENT},
            "new_edits": {"type": "boolean"},
        },
    },
    "/{db}/_bulk_get": {
        "type": "object",
        "properties": {
            "docs": {
                "type": "array",
                "maxItems": 5,
                "items": {"type": "object", "properties": {"id": NAME, "rev": {"enum": REV}}},
            }
        },
    },
    "/{db}/_revs_diff": REVS,
    "/{db}/_missing_revs": REVS,
    "/{db}/_purge": REVS,
    "/{db}/_find": FIND,
    "/{db}/_explain": FIND,
    "/{db}/_index": {
        "type": "object",
        "properties": {
            "index": {
                "type": "object",
                "properties": {"fields": {"type": "array", "items": {"enum": ["x", "_id", {"x": "desc"}, 1]}}},
            },
            "ddoc": {"enum": ["y", "_design/y", 1]},
            "name": {"type": "string"},
            "type": {"enum": ["json", "text"]},
        },
    },
    "/{db}/_changes": {
        "type": "object",
        "properties": {"doc_ids": {"type": "array"}, "selector": SELECTOR},
    },
    "/_dbs_info": KEYS,
    "/_session": {
        "type": "object",
        "properties": {"name": {"enum": ["ada", "bea"]}, "password": {"enum": [PASSWORD]}},
    },
    "/_tokens": {
        "type": "object",
        "required": ["most"],
        "properties": {
            "label": {"type": "string"},
            "most": {"enum": ["read", "write", "administer", "everything"]},
            "databases": {"type": "array", "items": {"enum": ["schema", "~ada/schema", "Bad"]}},
            "expires_in_seconds": {"type": "integer"},
        },
    },
    "/_accounts/{name}": {
        "type": "object",
        "properties": {"databases_max": {"type": "integer"}, "bytes_max": {"type": "integer"}},
    },
}


class Server:
    """The server, as somebody."""

    def __init__(self, base, name, password):
        self.base, self.name, self.password = base, name, password

    def send(self, method, path, body=None, kind="application/json"):
        pair = base64.b64encode(f"{self.name}:{self.password}".encode()).decode()
        headers = {"Authorization": f"Basic {pair}", "Content-Type": kind}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.base}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            # Made by an earlier run.
            if error.code in (409, 412):
                return None
            raise

    def fill(self, name):
        self.send("PUT", f"/{name}")
        self.send("PUT", f"/{name}/_design/x", DESIGN)
        self.send("PUT", f"/{name}/_local/l", {"x": 1})
        for number, id in enumerate("abc"):
            self.send("PUT", f"/{name}/{id}", {"x": number})
        stored = self.send("GET", f"/{name}/c")
        self.send("PUT", f"/{name}/c/f.txt?rev={stored['_rev']}", b"hello", "text/plain")


def known(name, path, method):
    """Values that mean something there."""
    special = EXCEPTIONS.get((path, method)) or EXCEPTIONS.get((path, "any")) or {}
    if name in special:
        return special[name]
    if name == "name":
        return DESIGN_NAMES if "_design" in path else ["l", "none"]
    return VALUES.get(name)


def description(admin):
    """The document, with values that mean something, and with the statuses that any operation may answer
    with in the place of `default`."""
    document = admin.send("GET", "/_openapi.json")
    common = document.pop("x-common-statuses")
    for path, item in document["paths"].items():
        item.pop("x-copy", None)
        for method in METHODS:
            if method not in item:
                continue
            operation = item[method]
            error = operation["responses"].pop("default")
            for status in common:
                operation["responses"].setdefault(str(status), error)
            if "{db}" in path:
                # A name that begins with `~` is that of an account, and one with `_` that of another
                # route; neither has all methods.
                operation["responses"].setdefault("405", error)
            for parameter in operation.get("parameters", []):
                values = known(parameter["name"], path, method)
                if values and parameter["schema"] == {"type": "string"}:
                    parameter["schema"] = {"anyOf": [{"enum": values}, {"type": "string"}]}
            content = operation.get("requestBody", {}).get("content", {})
            if "application/zstd" in content:
                # Whoever makes up requests knows how to write bytes, but not of what kind these are.
                content["application/octet-stream"] = content.pop("application/zstd")
            for media in content.values():
                media["schema"] = BODIES.get(path, ANY)
    return document


def run(title, server, root, document, phases, examples, seed):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(document, file)
        file.flush()
        command = [sys.executable, "-m", "schemathesis.cli", "run", file.name, "--url", server.base + root]
        command += ["--auth", f"{server.name}:{server.password}"]
        command += ["--max-examples", str(examples), "--seed", str(seed), "--generation-database", "none"]
        command += ["--checks", "not_a_server_error,status_code_conformance"]
        command += ["--phases", phases, "--request-timeout", "20", "--no-color"]
        command += ["--suppress-health-check", "all", "--warnings", "off", "--no-shrink"]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        count = next((line.strip() for line in done.stdout.splitlines() if " generated" in line), "")
        print(f"{title}: {count}", file=sys.stderr)
        print(f"PASS schema: {title}", flush=True)
        return True
    print(done.stdout, done.stderr, file=sys.stderr)
    print(f"FAIL schema: {title} -- ended with {done.returncode}", flush=True)
    return False


def main():
    parts = urlsplit(sys.argv[1])
    is_thorough = len(sys.argv) > 2
    examples = int(sys.argv[2]) if is_thorough else EXAMPLES
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else SEED
    base = f"{parts.scheme}://{parts.hostname}:{parts.port}"
    admin = Server(base, parts.username, parts.password)
    for name in ("ada", "bea", "mia"):
        user = {"type": "user", "name": name, "roles": [], "password": PASSWORD}
        admin.send("PUT", f"/_users/{quote('org.couchdb.user:' + name)}", user)
    admin.fill("schema")
    admin.send("PUT", "/schema/_security", {"members": {"names": ["mia"]}})
    ada = Server(base, "ada", PASSWORD)
    ada.base = f"{base}/~ada"
    ada.fill("schema")
    ada.base = base

    document = description(admin)
    below = [path for path in document["paths"] if path.startswith("/{db}") or path in OF_ACCOUNTS]
    of_account = {**document, "paths": {path: document["paths"][path] for path in below}}
    of_database = {path: item for path, item in document["paths"].items() if path.startswith("/{db}")}
    of_database = {**document, "paths": of_database}
    mia = Server(base, "mia", PASSWORD)
    all_phases = "coverage,fuzzing"
    of_users = all_phases if is_thorough else "fuzzing"
    runs = [
        ("what is made up for the administrator", admin, "", document, all_phases),
        ("what is made up for an account", ada, "/~ada", of_account, of_users),
        ("what is made up for a member of a database", mia, "", of_database, of_users),
    ]
    passed = [run(title, *rest, examples, seed) for title, *rest in runs]
    print(f"{passed.count(True)} passed, {passed.count(False)} failed")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
