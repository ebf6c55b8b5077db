import { describe, expect, test } from "vitest";

import { clampView, Lanes, LEAST_MS, pan, reveal, ticks, whole, zoomAt } from "./timeline_scale";

describe("a view of time", () => {
  test("zooming keeps the instant under the pointer", () => {
    const view = zoomAt({ fromMs: 0, toMs: 100 }, 0.5, 0.2, 100);
    expect(view).toEqual({ fromMs: 10, toMs: 60 });
  });

  test("never leaves the trace and never vanishes", () => {
    expect(zoomAt({ fromMs: 10, toMs: 60 }, 100, 0.5, 100)).toEqual(whole(100));
    expect(pan({ fromMs: 80, toMs: 100 }, 3, 100)).toEqual({ fromMs: 80, toMs: 100 });
    const narrow = zoomAt(whole(100), 1e-12, 0.5, 100);
    expect(narrow.toMs - narrow.fromMs).toBeCloseTo(LEAST_MS);
    expect(clampView({ fromMs: 5, toMs: 5 }, 0)).toEqual({ fromMs: 0, toMs: LEAST_MS });
  });

  test("a span out of sight is brought into it, one in sight moves nothing", () => {
    const view = { fromMs: 0, toMs: 10 };
    expect(reveal(view, 3, 50, 100)).toBe(view);
    expect(reveal(view, 50, 52, 100)).toEqual({ fromMs: 46, toMs: 56 });
  });

  test("ticks are round and few", () => {
    expect(ticks({ fromMs: 0, toMs: 1000 }, 5)).toEqual([0, 200, 400, 600, 800, 1000]);
    expect(ticks({ fromMs: 12, toMs: 19 }, 10)).toHaveLength(8);
  });
});

describe("Lanes", () => {
  const starts = [0, 0, 5, 20];
  const lanes = new Lanes([0, 1, 1, 1], starts, new Float64Array([30, 4, 15, 30]));

  test("only what touches the view is gone through", () => {
    expect([...lanes.inView(1, { fromMs: 6, toMs: 19 })]).toEqual([2]);
    expect([...lanes.inView(1, { fromMs: 0, toMs: 100 })]).toEqual([1, 2, 3]);
    expect([...lanes.inView(7, { fromMs: 0, toMs: 100 })]).toEqual([]);
    expect(lanes.count).toBe(2);
  });

  test("the nearest span within the slack is found", () => {
    expect(lanes.at(1, 10, 1)).toBe(2);
    expect(lanes.at(1, 4.4, 1)).toBe(1);
    expect(lanes.at(1, 17.5, 1)).toBeUndefined();
  });
});
