"""A writer in Python, from docs/protocol.md alone. It needs nothing but psql, whose session is the connection."""

import base64
import json
import os
import re
import subprocess
import sys
import uuid


class Refused(Exception):
    def __init__(self, message, sqlstate=None, hint=None):
        super().__init__(message)
        self.answer = {"message": message, "sqlstate": sqlstate, "hint": hint}


class Psql:
    """One session. What a statement returns comes on standard output, what the server refuses on standard error."""

    def __init__(self, url):
        self.process = subprocess.Popen(
            ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PGCLIENTENCODING": "UTF8", "LC_MESSAGES": "C"},
        )
        self.run("\\set VERBOSITY verbose")

    def run(self, statement):
        mark = "end of " + uuid.uuid4().hex
        self.process.stdin.write(f"{statement}\n\\echo '{mark}'\n\\warn '{mark}'\n".encode())
        self.process.stdin.flush()
        result = self._until(self.process.stdout, mark)
        complaint = self._until(self.process.stderr, mark)
        error = re.search(r"^.*?(?:ERROR|FATAL):  (\w{5}): (.*)$", complaint, re.MULTILINE)
        if error:
            hint = re.search(r"^HINT:  (.*)$", complaint, re.MULTILINE)
            raise Refused(error[2], error[1], hint[1] if hint else None)
        return result.strip()

    @staticmethod
    def _until(stream, mark):
        lines = []
        while (line := stream.readline().decode()).rstrip("\n") != mark:
            if line == "":
                raise Refused("psql has ended")
            lines.append(line)
        return "".join(lines)


def literal(value):
    """Text as the server reads it with standard_conforming_strings, which is its default: only quotes are doubled."""
    if value is None:
        return "NULL"
    if "\0" in value:
        raise Refused("PostgreSQL's text holds no NUL")
    return "'" + value.replace("'", "''") + "'"


def name(value):
    return '"' + value.replace('"', '""') + '"'


def enqueue(session, event):
    if "payloadBase64" in event:
        content = base64.b64decode(event["payloadBase64"]).hex()
        call = f"enqueue_bytes({literal(event['subject'])}, decode('{content}', 'hex')"
    else:
        call = f"enqueue({literal(event['subject'])}, {literal(json.dumps(event['payload']))}::jsonb"
    headers = json.dumps(event["headers"]) if "headers" in event else None
    return session.run(
        f"SELECT postcommit.{call}, key => {literal(event.get('key'))}, headers => {literal(headers)}::jsonb,"
        f" event_id => {literal(event.get('eventId'))}::uuid, type => {literal(event.get('type'))});"
    )


def change(session, request):
    session.run(  # Takes the row's lock, and waits for whoever has it: only then the event.
        f"INSERT INTO conformance.aggregates VALUES ({literal(request['aggregate'])}, {literal(request['value'])})"
        " ON CONFLICT (id) DO UPDATE SET value = excluded.value;"
    )
    return enqueue(session, request["event"])


def begin(session, request):
    session.run("BEGIN;")
    if request.get("twoPhase"):
        session.run("SET LOCAL postcommit.notify = off;")


HANDLERS = {
    "begin": begin,
    "commit": lambda session, _: session.run("COMMIT;") and None,
    "rollback": lambda session, _: session.run("ROLLBACK;") and None,
    "savepoint": lambda session, request: session.run(f"SAVEPOINT {name(request['name'])};") and None,
    "rollback to": lambda session, request: session.run(f"ROLLBACK TO {name(request['name'])};") and None,
    "prepare": lambda session, request: session.run(f"PREPARE TRANSACTION {literal(request['name'])};") and None,
    "enqueue": lambda session, request: enqueue(session, request["event"]),
    "change": change,
}


def answer(session, request):
    handle = HANDLERS.get(request["do"])
    if handle is None:
        return {"ok": False, "unsupported": True}
    try:
        event_id = handle(session, request)
        return {"ok": True} if event_id is None else {"ok": True, "id": event_id}
    except Refused as refused:
        return {"ok": False, "error": {k: v for k, v in refused.answer.items() if v is not None}}


if __name__ == "__main__":
    connection = Psql(os.environ["DATABASE_URL"])
    for line in sys.stdin:
        print(json.dumps(answer(connection, json.loads(line))), flush=True)
