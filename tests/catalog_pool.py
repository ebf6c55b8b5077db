"""Iceberg's pool of connections to the catalog, as Trino loads it, on a connection that Postgres has ended.

Upstream: one JSON document on stdin: ``classpath``, ``libjvm``, ``url``, ``user``, ``password``, and in ``codes`` lists
of SQL states that the pool shall take for a broken connection.
Downstream: one JSON document on stdout: for each list "ok", or the SQL state with which the next query failed.
"""

import json
import os
import sys
from typing import Any

import jpype
import psycopg


def main() -> None:
    """Answer."""
    told = json.load(sys.stdin)
    jpype.startJVM(told["libjvm"], "-Xmx64m", "-XX:TieredStopAtLevel=1", classpath=told["classpath"])
    print(json.dumps([_outcome(told, codes) for codes in told["codes"]]), flush=True)
    # Threads of the pool would hold the process back.
    os._exit(0)


def _outcome(told: dict[str, Any], codes: list[str]) -> str:
    settings = jpype.JClass("java.util.HashMap")()
    settings.put("jdbc.user", told["user"])
    settings.put("jdbc.password", told["password"])
    settings.put("retryable_status_codes", ",".join(codes))
    pool = jpype.JClass("org.apache.iceberg.jdbc.JdbcClientPool")(1, f"jdbc:{told['url']}", settings)
    try:
        number = _ask(pool)
        with psycopg.connect(told["url"], user=told["user"], password=told["password"], autocommit=True) as other:
            # With a time it returns when the connection has ended.
            other.execute("SELECT pg_terminate_backend(%s, 10000)", (number,))
        _ask(pool)
    except jpype.JClass("java.sql.SQLException") as error:
        return str(error.getSQLState())
    finally:
        pool.close()
    return "ok"


def _ask(pool: Any) -> int:
    def number_of(connection: Any) -> Any:
        rows = connection.createStatement().executeQuery("SELECT pg_backend_pid()")
        rows.next()
        return rows.getInt(1)

    return int(pool.run(jpype.JProxy("org.apache.iceberg.ClientPool$Action", dict={"run": number_of})))


if __name__ == "__main__":
    main()
