/**
 * Decides what of an event may leave the process, and writes it as JSON.
 *
 * Upstream: `ballast.mjs` marks texts with the category they belong to.
 * Downstream: `recorder.mjs` puts the JSON into the spool; `blobs.mjs` takes what is too big for an event.
 * Guarantee: whatever is written has been through the redactor first; nothing before it touches the disk.
 */

/** What people said, what tools got, what tools gave, the system prompt: each has a switch of its own. */
export class Said {
  /**
   * @param {"prompts" | "tool_params" | "tool_results" | "system_prompt"} category
   * @param {unknown} value
   * @param {Record<string, unknown>} [facts] small fields of an object value that stay in every mode
   */
  constructor(category, value, facts) {
    this.category = category;
    this.value = value;
    this.facts = facts;
  }
}

/** Larger values go apart. */
export const MAX_INLINE_BYTES = 64 * 1024;
const PREVIEW_CHARS = 2_000;
/** Longer texts are cut before anything looks at them: no event is worth seconds of the agent's time. */
const MAX_TEXT_CHARS = 8 * 1024 * 1024;
const MAX_DEPTH = 40;

export class Privacy {
  /**
   * @param {object} options
   * @param {Record<string, "full" | "hash" | "off">} options.capture
   * @param {import("./redaction.mjs").Redactor} options.redactor
   * @param {(json: Buffer) => string} options.storeBlob takes a value's JSON, returns its SHA-256
   */
  constructor({ capture, redactor, storeBlob }) {
    this._capture = capture;
    this._redactor = redactor;
    this._storeBlob = storeBlob;
  }

  /** A copy that may be written: secrets marked, categories applied, big values stored apart. */
  screen(value) {
    return this._screen(value, 0);
  }

  _screen(value, depth) {
    if (typeof value === "string") return this._text(value);
    if (value === null || typeof value !== "object") return value;
    if (value instanceof Said) return this._said(value, depth);
    if (depth >= MAX_DEPTH) return "[nested too deep]";
    if (Array.isArray(value)) return value.map((item) => this._screen(item, depth + 1));
    const screened = {};
    for (const name of Object.keys(value)) screened[name] = this._field(name, value[name], depth);
    return screened;
  }

  _field(name, value, depth) {
    const isText = typeof value === "string";
    if ((isText || (value !== null && typeof value === "object")) && this._redactor.isSecretName(name)) {
      if (isText) return value === "" ? "" : this._redactor.mark(value, "redacted");
      return this._redactor.mark(JSON.stringify(value instanceof Said ? value.value : value) ?? "", "redacted");
    }
    return this._screen(value, depth + 1);
  }

  _text(text) {
    if (text.length <= MAX_TEXT_CHARS) return this._redactor.clean(text);
    return `${this._redactor.clean(text.slice(0, MAX_TEXT_CHARS))}… [cut: ${text.length} characters in all]`;
  }

  _said(said, depth) {
    const mode = this._capture[said.category];
    if (mode !== "full") {
      const mark = mode === "hash" ? this._fingerprint(said.value) : "[not captured]";
      if (said.facts === undefined) return mark;
      return { ...this._screen(said.facts, depth + 1), clawtrace_captured: mark };
    }
    const screened = this._screen(said.value, depth);
    const small = typeof screened === "string" && screened.length * 3 <= MAX_INLINE_BYTES;
    if (small || screened === undefined) return screened;
    const json = JSON.stringify(screened);
    // As many bytes as characters at least, three times as many at most: usually no need to count.
    if (json.length * 3 <= MAX_INLINE_BYTES || Buffer.byteLength(json) <= MAX_INLINE_BYTES) return screened;
    const blob = this._asBlob(screened, json);
    return said.facts === undefined ? blob : { ...this._screen(said.facts, depth + 1), ...blob };
  }

  /** Store a value that was screened before, and return what stands in its place. */
  storeApart(screened) {
    return this._asBlob(screened, JSON.stringify(screened));
  }

  _asBlob(screened, json) {
    const bytes = Buffer.from(json);
    const text = typeof screened === "string" ? screened : json;
    return {
      clawtrace_blob: {
        sha256: this._storeBlob(bytes),
        bytes: bytes.length,
        preview: text.slice(0, PREVIEW_CHARS),
      },
    };
  }

  _fingerprint(value) {
    const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "");
    return `[fingerprint ${this._redactor.digest(text)}, ${Buffer.byteLength(text)} bytes]`;
  }
}
