"""Asks Trino through its JDBC driver, in a process of its own: a JVM cannot leave the process that it came into.

Upstream: one JSON document on stdin: ``jar``, ``libjvm``, ``url``, ``properties``, and statements in ``sql``.
Downstream: one JSON document on stdout: for each statement its rows as texts, or the error's text.
"""

import json
import os
import sys
from typing import Any

import jpype


def main() -> None:
    """Run the statements, one after the other, over one connection."""
    wanted = json.load(sys.stdin)
    jpype.startJVM(wanted["libjvm"], "-Xmx256m", "--enable-native-access=ALL-UNNAMED", classpath=[wanted["jar"]])
    properties = jpype.JClass("java.util.Properties")()
    for name, value in wanted["properties"].items():
        properties.setProperty(name, value)
    connection = jpype.JClass("java.sql.DriverManager").getConnection(wanted["url"], properties)
    print(json.dumps([_answer(connection, sql) for sql in wanted["sql"]]), flush=True)
    connection.close()
    # Threads of the driver would hold the process back.
    os._exit(0)


def _answer(connection: Any, sql: str) -> dict[str, Any]:
    try:
        result = connection.createStatement().executeQuery(sql)
        num_columns = result.getMetaData().getColumnCount()
        rows = []
        while result.next():
            rows.append([str(result.getString(number + 1)) for number in range(num_columns)])
        return {"rows": rows}
    except jpype.JException as error:
        return {"error": str(error.getMessage())}


if __name__ == "__main__":
    main()
