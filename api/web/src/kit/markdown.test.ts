import { describe, expect, test } from "vitest";

import { parseInline, parseMarkdown } from "./markdown";

describe("parseInline", () => {
  test("emphasis, code and links to our own pages", () => {
    expect(parseInline("a **b** `c|d` [run](/traces/t1?span=s1)")).toEqual([
      { kind: "text", text: "a " },
      { kind: "strong", parts: [{ kind: "text", text: "b" }] },
      { kind: "text", text: " " },
      { kind: "code", text: "c|d" },
      { kind: "text", text: " " },
      { kind: "link", to: "/traces/t1?span=s1", parts: [{ kind: "text", text: "run" }] },
    ]);
  });

  test("a figure with its source", () => {
    expect(parseInline("It cost [$1.24](#c3).")[1]).toEqual({ kind: "citation", id: "c3", text: "$1.24" });
  });

  test.each(["https://evil.test/?d=1", "//evil.test", "javascript:alert(1)", "data:text/html,x", "\\\\evil", "#other"])(
    "a link to %s keeps its words and loses its address",
    (target) => {
      expect(parseInline(`[words](${target})`)).toEqual([{ kind: "text", text: "words" }]);
    },
  );

  test("images and HTML are no more than text", () => {
    expect(parseInline("![alt](/x.png)")).toEqual([{ kind: "text", text: "alt" }]);
    expect(parseInline("<img src=x onerror=alert(1)>")).toEqual([{ kind: "text", text: "<img src=x onerror=alert(1)>" }]);
  });

  test("names with underscores and products with stars are left alone", () => {
    expect(parseInline("cost_usd and 2*3*4")).toEqual([{ kind: "text", text: "cost_usd and 2*3*4" }]);
  });
});

describe("parseMarkdown", () => {
  test("blocks in order", () => {
    const kinds = parseMarkdown("# Head\ntext\nmore\n\n- a\n- b\n1. c\n> said\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n```sql\nSELECT 1\n```\n").map(
      (block) => block.kind,
    );
    expect(kinds).toEqual(["heading", "paragraph", "list", "list", "quote", "table", "code"]);
  });

  test("a table has its cells", () => {
    const [table] = parseMarkdown("| a | b |\n|---|---|\n| 1 | [x](#c1) |");
    expect(table).toMatchObject({ kind: "table", rows: [[[{ text: "1" }], [{ kind: "citation", id: "c1" }]]] });
  });

  test("a block that is still coming is shown as far as it came", () => {
    expect(parseMarkdown("```sql\nSELECT 1")).toEqual([{ kind: "code", language: "sql", text: "SELECT 1" }]);
    expect(parseMarkdown("| a |\n")).toMatchObject([{ kind: "paragraph" }]);
  });

  test("long nonsense ends soon", { timeout: 30_000 }, () => {
    const nonsense = `${"[".repeat(20_000)}${"*".repeat(20_000)}${"`".repeat(5_001)}${"_a".repeat(10_000)}`;
    expect(parseMarkdown(nonsense)).toMatchObject([{ kind: "paragraph" }]);
  });
});
