import { describe, expect, test } from "vitest";

import { type SpanColumns, TraceModel } from "./model";

function columns(parents: number[], more: Partial<SpanColumns> = {}): SpanColumns {
  const fill = <Value,>(value: Value): Value[] => parents.map(() => value);
  return {
    spanIds: parents.map((_, index) => `s${index}`),
    parents,
    kinds: fill("tool_call"),
    names: fill("execute_tool exec"),
    statuses: fill("ok"),
    startsMs: parents.map((_, index) => index),
    durationsMs: fill(1),
    costsUsd: fill(1),
    tokens: fill(10),
    flags: fill([]),
    ...more,
  };
}

describe("TraceModel", () => {
  test("children come in order of start, and equal starts in the order they were told", () => {
    const model = new TraceModel(columns([-1, 0, 0, 0], { startsMs: [0, 9, 3, 3] }));
    expect([...model.children(0)]).toEqual([2, 3, 1]);
  });

  test("totals hold all that is below, once", () => {
    const model = new TraceModel(columns([-1, 0, 1, 1, -1], { statuses: ["ok", "ok", "error", "ok", "ok"] }));
    expect([...model.totalUsd]).toEqual([4, 3, 1, 1, 1]);
    expect([...model.totalTokens]).toEqual([40, 30, 10, 10, 10]);
    expect([...model.numBelow]).toEqual([3, 2, 0, 0, 0]);
    expect([...model.hasErrorBelow]).toEqual([1, 1, 0, 0, 0]);
    expect([...model.depths]).toEqual([0, 1, 2, 2, 0]);
  });

  test("what is collapsed hides all below it and nothing else", () => {
    const model = new TraceModel(columns([-1, 0, 1, 0, -1]));
    expect([...model.visible(new Set([1]))]).toEqual([0, 1, 3, 4]);
    expect([...model.visible(new Set([0]))]).toEqual([0, 4]);
  });

  test.each([
    ["a circle of one", [0]],
    ["a circle of three", [1, 2, 0]],
    ["a tail into a circle", [1, 2, 1, 0]],
    ["parents that name nothing", [7, -5, Number.NaN]],
  ])("%s: every span is shown once", (_, parents) => {
    const model = new TraceModel(columns(parents));
    expect([...model.visible(new Set())].toSorted((left, right) => left - right)).toEqual([...parents.keys()]);
  });

  test("a chain of 5,000 and 50,000 children are no trouble", () => {
    const chain = new TraceModel(columns(Array.from({ length: 5_000 }, (_, index) => index - 1)));
    expect(chain.depths[4_999]).toBe(4_999);
    expect([...chain.ancestors(4_999)]).toHaveLength(4_999);
    const wide = new TraceModel(columns(Array.from({ length: 50_001 }, (_, index) => (index === 0 ? -1 : 0))));
    expect(wide.totalUsd[0]).toBe(50_001);
    expect(wide.visible(new Set()).length).toBe(50_001);
  });

  test("a span is found by its id", () => {
    const model = new TraceModel(columns([-1, 0]));
    expect([model.indexOf("s1"), model.indexOf("nobody"), model.parentOf(1)]).toEqual([1, -1, 0]);
  });
});
