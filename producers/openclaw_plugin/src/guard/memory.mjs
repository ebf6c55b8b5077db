/**
 * What of the guard outlives the process, and how it is taken up again.
 *
 * Upstream: the engine.
 * Downstream: the store.
 * Guarantee: state, what was spent, holds and settled verdicts survive; anything in the file that is not as expected is
 * left out, and the rest still counts.
 */

const VERSION = 1;
const MAX_KEPT = 200;

/** The part of the engine that is kept. */
export function snapshot(engine) {
  const { meter, orders, allowances, holds } = engine;
  return {
    version: VERSION,
    state: orders.raw,
    day: meter.day,
    sessions: [...meter.sessions].slice(-MAX_KEPT),
    runs: [...meter.families.all].slice(-MAX_KEPT).map((it) => ({
      id: it.id,
      traceIds: it.traceIds,
      rootSessionKey: it.rootSessionKey,
      spent: it.spent,
      forgiven: it.forgiven,
    })),
    drawn: [...allowances.byId.values()].map((it) => [it.id, it.drawn]),
    holds: [...holds.byKey.values()],
    done: orders.done,
    told: [...engine.decisions.told].slice(-MAX_KEPT),
  };
}

/** Take up what was kept; undefined is an empty memory. */
export function restore(engine, kept) {
  if (kept?.version !== VERSION) return;
  const { meter, orders, allowances, holds } = engine;
  orders.done = new Set(listOf(kept.done));
  engine.decisions.told = new Set(listOf(kept.told));
  if (isPurse(kept.day) && Number.isSafeInteger(kept.day.number)) meter.day = kept.day;
  for (const entry of listOf(kept.sessions)) {
    if (Array.isArray(entry) && isPurse(entry[1])) meter.sessions.set(entry[0], entry[1]);
  }
  for (const run of listOf(kept.runs)) {
    const traceId = listOf(run?.traceIds)[0];
    if (!traceId || !isPurse(run)) continue;
    const family = meter.families.join({ traceId });
    Object.assign(family, { id: run.id, rootSessionKey: run.rootSessionKey, spent: run.spent, forgiven: run.forgiven });
  }
  for (const hold of listOf(kept.holds)) {
    if (typeof hold?.key !== "string" || typeof hold.reason !== "string" || !Number.isFinite(hold.expiresAtUs)) continue;
    const sets = { familyIds: new Set(listOf(hold.familyIds)), sessionKeys: new Set(listOf(hold.sessionKeys)) };
    holds.byKey.set(hold.key, { ...hold, ...sets });
  }
  if (kept.state) engine.applyState(kept.state);
  const drawn = new Map(listOf(kept.drawn));
  for (const item of allowances.byId.values()) {
    const before = drawn.get(item.id);
    if (typeof before === "bigint") item.drawn = before;
  }
}

function isPurse(it) {
  return typeof it?.spent === "bigint" && typeof it.forgiven === "bigint";
}

function listOf(it) {
  return Array.isArray(it) ? it : [];
}
