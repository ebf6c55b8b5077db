/**
 * What is closed: a run with its sub-agents, a session, or the whole agent, until released or lapsed.
 *
 * Upstream: limits that were passed; verdicts.
 * Downstream: the guard's gates.
 * Guarantee: a hold covers the children of what it covers; every hold has an end; memory is bounded.
 */

const MAX_HOLDS = 500;
// A verdict or allowance can be without a good end; nothing stays closed for ever.
const LONGEST_US = 31 * 86_400_000_000;

/**
 * @typedef {{key: string, cause: string, scope: string, scopeId: string, reason: string, expiresAtUs: number,
 *   spent?: bigint, limit?: bigint, window?: string, verdictId?: string, denied?: boolean, familyIds: Set<string>,
 *   sessionKeys: Set<string>}} Hold
 */

export class Holds {
  /** @param {(hold: Hold) => void} onLapse called for each that came to its end by itself */
  constructor(onLapse = () => {}) {
    this.onLapse = onLapse;
    /** @type {Map<string, Hold>} */
    this.byKey = new Map();
  }

  /**
   * Close something; undefined when that is closed by the same key already (it then lasts until the later end).
   * @param {Partial<Hold> & {key: string}} hold
   * @param {import("./families.mjs").Family | undefined} family
   * @returns {Hold | undefined}
   */
  open(hold, family, nowUs) {
    const expiresAtUs = Number.isFinite(hold.expiresAtUs) ? Math.min(hold.expiresAtUs, nowUs + LONGEST_US) : nowUs;
    const closed = this.byKey.get(hold.key);
    if (closed) {
      // Said again with a later end: it lasts until then.
      closed.expiresAtUs = Math.max(closed.expiresAtUs, expiresAtUs);
      return undefined;
    }
    const made = { familyIds: new Set(), sessionKeys: new Set(), ...hold, expiresAtUs };
    if (made.scope === "run") {
      made.familyIds.add(made.scopeId);
      if (family) {
        made.familyIds.add(family.id);
        // A release names a run by its id, perhaps after a restart.
        for (const id of family.runIds) made.familyIds.add(id);
        for (const key of family.sessions.keys()) made.sessionKeys.add(key);
      }
    } else if (made.scope === "session") {
      made.sessionKeys.add(made.scopeId);
    }
    this.byKey.set(made.key, made);
    if (this.byKey.size > MAX_HOLDS) this.byKey.delete(this.byKey.keys().next().value);
    return made;
  }

  /**
   * The hold that covers these ids, the widest first.
   * @param {import("./families.mjs").Family | undefined} family
   * @param {string | undefined} sessionKey
   * @returns {Hold | undefined}
   */
  find(family, sessionKey, nowUs) {
    let found;
    for (const hold of this.byKey.values()) {
      if (hold.expiresAtUs <= nowUs) {
        this.byKey.delete(hold.key);
        this.onLapse(hold);
      } else if (covers(hold, family, sessionKey)) {
        if (!found || widths.indexOf(hold.scope) < widths.indexOf(found.scope)) found = hold;
      }
    }
    return found;
  }

  /**
   * Lift what a release names; whatever is inside it is lifted, too.
   * @param {import("./families.mjs").Family | undefined} family the one that a released run is in
   * @returns {Hold[]}
   */
  release(scope, scopeId, family) {
    return this.#lift((hold) => {
      if (scope === "agent" || scope === "tenant") return true;
      if (scope === "session") return hold.sessionKeys.has(scopeId);
      return hold.scope === "run" && (hold.familyIds.has(scopeId) || hold.familyIds.has(family?.id));
    });
  }

  /** Lift holds of verdicts that are no longer in force, and of limits that are no longer passed. */
  keepOnly(stands) {
    return this.#lift((hold) => !stands(hold));
  }

  #lift(wanted) {
    const lifted = [...this.byKey.values()].filter(wanted);
    for (const hold of lifted) this.byKey.delete(hold.key);
    return lifted;
  }
}

const widths = ["tenant", "agent", "session", "run"];

/** True when a hold covers a family or a session. */
export function covers(hold, family, sessionKey) {
  if (hold.scope === "agent" || hold.scope === "tenant") return true;
  if (sessionKey && hold.sessionKeys.has(sessionKey)) return true;
  if (!family) return false;
  if (family.rootSessionKey && hold.sessionKeys.has(family.rootSessionKey)) return true;
  if (hold.scope !== "run") return false;
  for (const id of hold.familyIds) if (family.answersTo(id)) return true;
  return false;
}
