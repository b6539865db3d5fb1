"""The same from Python, with psycopg (pip install "psycopg[binary]")."""

import json
import sys

import psycopg

with psycopg.connect(sys.argv[1]) as connection:  # Commits at its end, or rolls back.
    connection.execute("INSERT INTO patients (id) VALUES ('python')")
    connection.execute(
        "SELECT postcommit.enqueue(%s, %s::jsonb, key => %s, type => %s)",
        ("ng.patient.python", json.dumps({"name": "Bob"}), "python", "patient.registered"),
    )
