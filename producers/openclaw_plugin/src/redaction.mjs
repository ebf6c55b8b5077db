/**
 * Finds secrets in texts and field names, and puts a mark in their place.
 *
 * Upstream: `privacy.mjs`.
 * Downstream: nothing.
 * Guarantee: pure but for the key; equal secrets get equal marks (so that repeats stay visible), and a mark cannot be
 * turned back without the digest key, which never leaves the machine. Time grows linearly with the text.
 */

import { createHmac } from "node:crypto";

/** Endings of field names, letters and digits only, lower case. */
const SECRET_NAMES = [
  "password",
  "passwd",
  "passphrase",
  "secret",
  "secretkey",
  "clientsecret",
  "apikey",
  "accesskey",
  "accesskeyid",
  "privatekey",
  "token",
  "authorization",
  "cookie",
  "credential",
  "credentials",
];

const ASSIGNED =
  /((?:password|passwd|passphrase)(?:\\?["'])?\s{0,3}[:=]\s{0,3}(?:\\?["'])?)(?!string\b|undefined\b|null\b|true\b|false\b|\$|process\.|os\.|\[)([^\s"',;&\\]{4,})/gi;
const ASSIGNED_KEY =
  /((?:secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential)(?:\\?["'])?\s{0,3}[:=]\s{0,3}(?:\\?["'])?)(?=[^\s"',;&\\]{0,64}\d)([^\s"',;&\\[]{8,})/gi;

/**
 * `hint` is looked for first: most texts hold none of these, and a search for a fixed word costs a tenth of a pattern.
 * @type {{kind: string, hint: RegExp | string, pattern: RegExp}[]}
 */
const SHAPES = [
  {
    kind: "private-key",
    hint: "PRIVATE KEY",
    pattern: /-----BEGIN [A-Z0-9 ]{0,32}PRIVATE KEY[A-Z ]{0,16}-----[\s\S]{0,20000}?(?:-----END [A-Z0-9 ]{0,32}PRIVATE KEY[A-Z ]{0,16}-----|$)/g,
  },
  {
    kind: "api-key",
    hint: "",
    pattern:
      /\b(?:sk-[A-Za-z0-9_-]{16,}|[prs]k_(?:live|test)_[A-Za-z0-9]{10,}|(?:AKIA|ASIA)[0-9A-Z]{16}\b|AIza[0-9A-Za-z_-]{30,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[abeprs]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,}|npm_[A-Za-z0-9]{30,}|hf_[A-Za-z0-9]{24,}|pypi-[A-Za-z0-9_-]{32,}|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|ya29\.[A-Za-z0-9_-]{16,}|dop_v1_[a-f0-9]{32,}|[0-9]{8,10}:AA[A-Za-z0-9_-]{32,})/g,
  },
  { kind: "token", hint: "eyJ", pattern: /\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*/g },
  { kind: "token", hint: /bearer|basic/i, pattern: /\b(bearer |basic )([A-Za-z0-9+/_.~=-]{12,})/gi },
  { kind: "password", hint: "://", pattern: /(:\/\/[^\s/:@"']{0,128}:)([^\s/@"']{1,256})(?=@)/g },
  { kind: "password", hint: /passw|passphrase/i, pattern: ASSIGNED },
  { kind: "api-key", hint: /secret|token|key|credential/i, pattern: ASSIGNED_KEY },
  {
    kind: "email",
    hint: "@",
    pattern: /(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9-])/g,
  },
  {
    kind: "card",
    hint: /\d{4}[ -]?\d/,
    // Only issuers' own first digits: instants in micro- and nanoseconds begin with 1.
    pattern: /(?<![\w.-])(?:4|5[1-5]|2[2-7]|3[47]|6[0245])(?:[ -]?\d){12,17}(?![\w-])/g,
  },
];

export class Redactor {
  /**
   * @param {object} options
   * @param {Buffer} options.digestKey
   * @param {string[]} [options.keys] more secret field names
   * @param {RegExp[]} [options.patterns] more secret shapes
   */
  constructor({ digestKey, keys = [], patterns = [] }) {
    this._digestKey = digestKey;
    this._names = new Set(keys.map(plainName));
    this._nameVerdicts = new Map();
    this._own = patterns;
    this.num_found = 0;
  }

  /** 32 hex digits that stand for a text. */
  digest(text) {
    return createHmac("sha256", this._digestKey).update(text).digest("hex").slice(0, 32);
  }

  /** Whether a field of this name holds a secret. */
  isSecretName(name) {
    let verdict = this._nameVerdicts.get(name);
    if (verdict === undefined) {
      const plain = plainName(name);
      verdict = this._names.has(plain) || SECRET_NAMES.some((secret) => plain.endsWith(secret));
      // Names may come from a model; the memory of them must not grow for ever.
      if (this._nameVerdicts.size < 10_000) this._nameVerdicts.set(name, verdict);
    }
    return verdict;
  }

  /** @param {string} text @param {string} kind */
  mark(text, kind) {
    this.num_found += 1;
    return `[${kind} ${this.digest(text).slice(0, 8)}]`;
  }

  /** @param {string} text @returns {string} */
  clean(text) {
    if (text.length < 6) return this._own.length > 0 ? this._cleanOwn(text) : text;
    let cleaned = text;
    for (const { kind, hint, pattern } of SHAPES) {
      if (typeof hint === "string" ? !cleaned.includes(hint) : !hint.test(cleaned)) continue;
      cleaned = cleaned.replace(pattern, (match, ...groups) => this._replace(kind, match, groups));
    }
    return this._own.length > 0 ? this._cleanOwn(cleaned) : cleaned;
  }

  _replace(kind, match, groups) {
    if (kind === "card") return isLuhn(match) ? this.mark(match, kind) : match;
    // Patterns with a part to keep have two groups: that part and the secret.
    if (typeof groups[0] === "string" && typeof groups[1] === "string") return groups[0] + this.mark(groups[1], kind);
    return this.mark(match, kind);
  }

  _cleanOwn(text) {
    let cleaned = text;
    for (const pattern of this._own) {
      cleaned = cleaned.replace(pattern, (match) => (match === "" ? match : this.mark(match, "redacted")));
    }
    return cleaned;
  }
}

function plainName(name) {
  return name.replace(/[^A-Za-z0-9]/g, "").toLowerCase();
}

function isLuhn(text) {
  let sum = 0;
  let isDoubled = false;
  for (let at = text.length - 1; at >= 0; at -= 1) {
    const digit = text.charCodeAt(at) - 48;
    if (digit < 0 || digit > 9) continue;
    const value = isDoubled ? digit * 2 : digit;
    sum += value > 9 ? value - 9 : value;
    isDoubled = !isDoubled;
  }
  return sum % 10 === 0;
}
