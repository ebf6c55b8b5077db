/**
 * The last 24 hours as places of a chart, those without runs included.
 *
 * Upstream: rows of (hour, runs) from SQL; instants as Trino writes them.
 * Downstream: the overview.
 * Guarantee: 24 places, the current hour last.
 */
const HOUR_MS = 3_600_000;
const NUM_HOURS = 24;
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });

/** Milliseconds of an instant as the API writes it: ISO 8601, or "2026-11-23 05:00:00.000000 UTC". */
export function instantMs(value: unknown): number {
  const text = String(value).trim();
  const iso = text.replace(/ UTC$/, "Z").replace(" ", "T");
  return Date.parse(/(?:Z|[+-]\d\d:\d\d)$/.test(iso) ? iso : `${iso}Z`);
}

export function hourPlaces(rows: readonly (readonly unknown[])[], nowMs: number): { places: string[]; values: number[] } {
  const runs = new Map(rows.map((row) => [Math.floor(instantMs(row[0]) / HOUR_MS), Number(row[1])]));
  const current = Math.floor(nowMs / HOUR_MS);
  const hours = Array.from({ length: NUM_HOURS }, (_, back) => current - NUM_HOURS + 1 + back);
  return {
    places: hours.map((hour) => clock.format(hour * HOUR_MS)),
    values: hours.map((hour) => runs.get(hour) ?? 0),
  };
}
