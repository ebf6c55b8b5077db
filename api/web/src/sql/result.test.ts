import { describe, expect, test } from "vitest";

import type { SqlAnswer } from "../api/queries";
import { cellText, plotOf, toCsv, toJson } from "./result";

const answer = (columns: [string, string][], rows: unknown[][]): SqlAnswer => ({
  columns: columns.map(([name, type]) => ({ name, type })),
  rows,
  truncated: false,
  snapshots: {},
});

describe("toCsv", () => {
  test("quotes what needs it and leaves unknown empty", () => {
    const csv = toCsv(answer([["name", "varchar"], ["cost_usd", "decimal(24,12)"]], [['say "hi", you', "0.5"], [null, null]]));
    expect(csv).toBe('name,cost_usd\r\n"say ""hi"", you",0.5\r\n,\r\n');
  });

  test("a text that a spreadsheet would run is kept a text, a negative number stays one", () => {
    const csv = toCsv(answer([["name", "varchar"], ["delta", "double"]], [["=HYPERLINK(1)", -3], ["@x", 1]]));
    expect(csv.split("\r\n").slice(1, 3)).toEqual(["'=HYPERLINK(1),-3", "'@x,1"]);
  });
});

test("toJson names the values", () => {
  expect(JSON.parse(toJson(answer([["a", "bigint"], ["b", "array(varchar)"]], [[1, ["x"]]])))).toEqual([{ a: 1, b: ["x"] }]);
});

describe("plotOf", () => {
  test("time goes from left to right as a line, names as bars", () => {
    const plot = plotOf(answer([["day", "date"], ["n", "bigint"]], [["2026-11-02", 2], ["2026-11-01", 1]]));
    expect(plot).toEqual({ kind: "line", isMoney: false, places: ["2026-11-01", "2026-11-02"], series: [{ name: "n", values: [1, 2] }] });
    expect(plotOf(answer([["tool", "varchar"], ["n", "bigint"]], [["exec", 2], ["read", null]]))?.kind).toBe("bar");
  });

  test("where there is nothing to draw, none is offered", () => {
    expect(plotOf(answer([["n", "bigint"]], [[1], [2]]))).toBeUndefined();
    expect(plotOf(answer([["name", "varchar"]], [["a"], ["b"]]))).toBeUndefined();
    expect(plotOf(answer([["name", "varchar"], ["n", "bigint"]], [["a", 1]]))).toBeUndefined();
  });
});

test.each([
  ["2026-11-23T05:42:16.744000Z", "timestamp(6) with time zone", "2026-11-23 05:42:16.744"],
  ["2026-11-23 05:00:00.000000 UTC", "timestamp(6)", "2026-11-23 05:00:00"],
  ["2026-11-23", "date", "2026-11-23"],
  ["10T000Z", "varchar", "10T000Z"],
  [1.5, "double", "1.5"],
])("the cell %s of type %s reads %s", (value, type, text) => expect(cellText(value, type)).toBe(text));

test("days that come again are one place, with a series for each model, and dollars are drawn alone", () => {
  const plot = plotOf(
    answer(
      [["trace_date", "date"], ["model", "varchar"], ["calls", "bigint"], ["cost_usd", "decimal(38,12)"]],
      [["2026-11-23", "a", 5, "0.5"], ["2026-11-22", "a", 3, "0.3"], ["2026-11-23", "b", 9, "0.9"]],
    ),
  );
  expect(plot).toEqual({
    kind: "line",
    isMoney: true,
    places: ["2026-11-22", "2026-11-23"],
    series: [{ name: "a", values: [0.3, 0.5] }, { name: "b", values: [null, 0.9] }],
  });
});
