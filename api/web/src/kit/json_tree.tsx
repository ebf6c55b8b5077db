/**
 * A JSON value as a tree that opens piece by piece.
 *
 * Upstream: payloads of spans, which strangers wrote.
 * Downstream: the step detail.
 * Guarantee: every value is text for the browser, never HTML; an object of a million keys makes a hundred rows at first.
 */
import { useState } from "react";
import "./json_tree.css";

const FIRST_CHILDREN = 100;
const FIRST_CHARS = 600;
const OPEN_DEPTH = 2;

export function JsonTree({ value }: { readonly value: unknown }) {
  return (
    <div className="json-tree mono">
      <JsonNode name={undefined} value={value} depth={0} />
    </div>
  );
}

interface JsonNodeProps {
  readonly name: string | undefined;
  readonly value: unknown;
  readonly depth: number;
}

function JsonNode({ name, value, depth }: JsonNodeProps) {
  const [isOpen, setOpen] = useState(depth < OPEN_DEPTH);
  const [numShown, setNumShown] = useState(FIRST_CHILDREN);
  const label = name === undefined ? null : <span className="json-key">{name}: </span>;
  if (typeof value !== "object" || value === null) {
    return (
      <div className="json-leaf">
        {label}
        <JsonScalar value={value} />
      </div>
    );
  }
  const entries: [string, unknown][] = Array.isArray(value)
    ? value.slice(0, numShown).map((item, index) => [String(index), item])
    : Object.entries(value).slice(0, numShown);
  const count = Array.isArray(value) ? value.length : Object.keys(value).length;
  const noun = Array.isArray(value) ? (count === 1 ? "item" : "items") : count === 1 ? "field" : "fields";
  if (count === 0) {
    return (
      <div className="json-leaf">
        {label}
        <span className="soft">{Array.isArray(value) ? "[]" : "{}"}</span>
      </div>
    );
  }
  return (
    <div>
      <button type="button" className="json-twist" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        <span aria-hidden="true">{isOpen ? "▾" : "▸"}</span> {label}
        <span className="soft">
          {count} {noun}
        </span>
      </button>
      {isOpen && (
        <div className="json-children">
          {entries.map(([key, item]) => (
            <JsonNode key={key} name={key} value={item} depth={depth + 1} />
          ))}
          {count > numShown && (
            <button type="button" className="button button-small" onClick={() => setNumShown(numShown * 5)}>
              {count - numShown} more
            </button>
          )}
        </div>
      )}
    </div>
  );
}

function JsonScalar({ value }: { readonly value: unknown }) {
  const [isWhole, setWhole] = useState(false);
  if (typeof value !== "string") return <span className="json-plain">{String(value)}</span>;
  const isLong = value.length > FIRST_CHARS;
  return (
    <span className="json-text">
      {isLong && !isWhole ? `${value.slice(0, FIRST_CHARS)}…` : value}
      {isLong && (
        <button type="button" className="button button-small" onClick={() => setWhole(!isWhole)}>
          {isWhole ? "less" : `all ${value.length.toLocaleString("en-US")} characters`}
        </button>
      )}
    </span>
  );
}
