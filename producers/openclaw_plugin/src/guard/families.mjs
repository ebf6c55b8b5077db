/**
 * Which runs belong together: a run with all its sub-agents is one family.
 *
 * Upstream: ids in hook contexts; subagent_spawned.
 * Downstream: the meter and the holds.
 * Guarantee: a run is in one family however its ids come to light (trace id first, then run id, then the child's
 * session key); memory is bounded.
 */

const MAX_FAMILIES = 2_000;

export class Family {
  constructor(id) {
    /** Trace id where OpenClaw gives one: the same after a restart. */
    this.id = id;
    this.rootSessionKey = undefined;
    /** @type {Set<string>} */
    this.traceIds = new Set();
    /** @type {Map<string, string | undefined>} run id to session id, while the run lasts */
    this.active = new Map();
    /** @type {Set<string>} */
    this.runIds = new Set();
    /** @type {Map<string, string | undefined>} session key to session id */
    this.sessions = new Map();
    this.spent = 0n;
    this.forgiven = 0n;
    this.numCalls = 0;
    this.numUnpriced = 0;
    /** @type {Family | undefined} set when it turned out to be a part of another */
    this.mergedInto = undefined;
  }

  /** The family this one has become part of, or itself. */
  get current() {
    return this.mergedInto?.current ?? this;
  }

  /** True when a verdict or an allowance that names this id means this family. */
  answersTo(id) {
    return this.id === id || this.traceIds.has(id) || this.runIds.has(id);
  }
}

export class Families {
  constructor(max = MAX_FAMILIES) {
    this.max = max;
    /** @type {Set<Family>} oldest use first */
    this.all = new Set();
    this.byTrace = new Map();
    this.byRun = new Map();
    /** Session key to the family that last used it. */
    this.bySession = new Map();
    /** Session key of a sub-agent to the family that spawned it. */
    this.byChild = new Map();
  }

  /**
   * The family these ids belong to, if it is known.
   * @param {{runId?: string, traceId?: string, sessionKey?: string}} ids
   * @returns {Family | undefined}
   */
  find({ runId, traceId, sessionKey }) {
    return this.byTrace.get(traceId) ?? this.byRun.get(runId) ?? this.byChild.get(sessionKey);
  }

  /**
   * The family these ids belong to; made when there is none, and told what it did not know yet.
   * @param {{runId?: string, traceId?: string, sessionKey?: string, sessionId?: string}} ids
   * @returns {Family}
   */
  join({ runId, traceId, sessionKey, sessionId }) {
    let family = this.find({ runId, traceId, sessionKey });
    if (!family && !runId && !traceId) family = this.bySession.get(sessionKey);
    family ??= new Family(traceId ?? runId ?? `session:${sessionKey ?? "unknown"}`);
    for (const other of [this.byRun.get(runId), this.byChild.get(sessionKey)]) {
      // A run first seen without its trace; a child whose trace is its own.
      if (other && other !== family && !(traceId && other.traceIds.size && !other.traceIds.has(traceId))) {
        this.#merge(other, family);
      }
    }
    this.#touch(family);
    if (traceId) {
      family.traceIds.add(traceId);
      this.byTrace.set(traceId, family);
    }
    if (sessionKey) {
      family.rootSessionKey ??= sessionKey;
      family.sessions.set(sessionKey, sessionId ?? family.sessions.get(sessionKey));
      this.bySession.set(sessionKey, family);
    }
    if (runId) {
      family.runIds.add(runId);
      family.active.set(runId, sessionId ?? family.active.get(runId));
      this.byRun.set(runId, family);
    }
    return family;
  }

  /**
   * A sub-agent was started.
   * @param {{runId?: string, childSessionKey?: string, requesterSessionKey?: string}} link
   */
  spawned({ runId, childSessionKey, requesterSessionKey }) {
    const family = this.byChild.get(requesterSessionKey) ?? this.bySession.get(requesterSessionKey);
    if (!family || !childSessionKey) return undefined;
    this.byChild.set(childSessionKey, family);
    const early = this.byRun.get(runId);
    if (early && early !== family) this.#merge(early, family);
    if (!family.sessions.has(childSessionKey)) family.sessions.set(childSessionKey, undefined);
    if (runId) {
      family.runIds.add(runId);
      this.byRun.set(runId, family);
    }
    return family;
  }

  /** A run has come to its end. */
  ended(runId) {
    this.byRun.get(runId)?.active.delete(runId);
  }

  #touch(family) {
    this.all.delete(family);
    this.all.add(family);
    if (this.all.size <= this.max) return;
    const [oldest] = this.all;
    this.#forget(oldest);
  }

  #forget(family) {
    this.all.delete(family);
    this.#repoint(family, undefined);
  }

  #merge(from, into) {
    into.spent += from.spent;
    into.forgiven += from.forgiven;
    into.numCalls += from.numCalls;
    into.numUnpriced += from.numUnpriced;
    this.#repoint(from, into);
    for (const id of from.traceIds) into.traceIds.add(id);
    for (const id of from.runIds) into.runIds.add(id);
    for (const [key, value] of from.active) into.active.set(key, value);
    for (const [key, value] of from.sessions) into.sessions.set(key, value ?? into.sessions.get(key));
    from.mergedInto = into;
    this.all.delete(from);
  }

  /** Let every id that leads to one family lead to another, or nowhere. */
  #repoint(from, to) {
    const maps = [
      [this.byTrace, from.traceIds],
      [this.byRun, from.runIds],
      [this.bySession, from.sessions.keys()],
      [this.byChild, from.sessions.keys()],
    ];
    for (const [map, ids] of maps) {
      for (const id of ids) {
        if (map.get(id) !== from) continue;
        if (to) map.set(id, to);
        else map.delete(id);
      }
    }
  }
}
