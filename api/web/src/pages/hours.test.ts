import { expect, test } from "vitest";

import { hourPlaces, instantMs } from "./hours";

test("instants are read however the API writes them", () => {
  const expected = Date.UTC(2026, 10, 23, 5);
  for (const text of ["2026-11-23T05:00:00Z", "2026-11-23 05:00:00.000000 UTC", "2026-11-23T05:00:00+00:00", "2026-11-23 05:00:00"]) {
    expect(instantMs(text), text).toBe(expected);
  }
});

test("every hour has a place, the current one is the last", () => {
  const now = Date.UTC(2026, 10, 23, 12, 34);
  const { places, values } = hourPlaces([["2026-11-23T12:00:00Z", 3], ["2026-11-22T13:00:00Z", "7"], ["2026-11-20T13:00:00Z", 9]], now);
  expect(places).toHaveLength(24);
  expect([values[0], values[23]]).toEqual([7, 3]);
  expect(values.reduce((left, right) => left + right)).toBe(10);
});
