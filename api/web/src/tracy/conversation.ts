/**
 * A conversation with Tracy, as its events make it.
 *
 * Upstream: events of POST /v1/tracy/chat, live or stored.
 * Downstream: `panel`.
 * Guarantee: pure; an event that is not known, or not whole, changes nothing.
 */
import type { ServerEvent } from "../kit/events";

export interface Citation {
  readonly id: string;
  readonly status: string;
  readonly sql: string | null;
  readonly reason: string | null;
  readonly column: string | null;
  readonly row: number | null;
}

export type Part =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "chart"; readonly option: unknown; readonly sql: string | null }
  | { readonly kind: "tool"; readonly id: string; readonly name: string; readonly state: "running" | "done" | "failed"; readonly told: string };

export interface Turn {
  readonly question: string;
  readonly parts: readonly Part[];
  readonly citations: ReadonlyMap<string, Citation>;
  readonly state: "running" | "done" | "stopped" | "failed";
  readonly failure: string | undefined;
}

export function newTurn(question: string): Turn {
  return { question, parts: [], citations: new Map(), state: "running", failure: undefined };
}

/** The session that an event names; undefined for all others. */
export function sessionOf(event: ServerEvent): string | undefined {
  return event.event === "session" ? text(parse(event.data)["session_id"]) : undefined;
}

export function withEvent(turn: Turn, event: ServerEvent): Turn {
  const data = parse(event.data);
  switch (event.event) {
    case "text":
      return withText(turn, text(data["text"]) ?? "");
    case "tool_use":
      return {
        ...turn,
        parts: [
          ...turn.parts,
          { kind: "tool", id: text(data["tool_use_id"]) ?? "", name: text(data["name"]) ?? "tool", state: "running", told: toldOf(data["input"]) },
        ],
      };
    case "tool_result": {
      const id = text(data["tool_use_id"]);
      const state = data["is_error"] === true ? "failed" : "done";
      return { ...turn, parts: turn.parts.map((part) => (part.kind === "tool" && part.id === id ? { ...part, state } : part)) };
    }
    case "chart":
      return { ...turn, parts: [...turn.parts, { kind: "chart", option: data["option"], sql: text(data["sql"]) ?? null }] };
    case "citation": {
      const id = text(data["citation_id"]);
      if (id === undefined) return turn;
      const citation: Citation = {
        id,
        status: text(data["status"]) ?? "checked",
        sql: text(data["sql"]) ?? null,
        reason: text(data["reason"]) ?? null,
        column: text(data["column"]) ?? null,
        row: typeof data["row"] === "number" ? data["row"] : null,
      };
      return { ...turn, citations: new Map(turn.citations).set(id, citation) };
    }
    case "done":
      return { ...turn, state: "done" };
    case "error":
      return { ...turn, state: "failed", failure: text(data["message"]) ?? "Something went wrong." };
    default:
      return turn;
  }
}

/** The stream ended; without `done` or `error` it was cut. */
export function ended(turn: Turn, wasStopped: boolean): Turn {
  if (turn.state !== "running") return turn;
  return wasStopped ? { ...turn, state: "stopped" } : { ...turn, state: "failed", failure: "The answer broke off. Ask again." };
}

/** A turn as it was stored: the events that were sent, in order. */
export interface StoredTurn {
  readonly question: string;
  readonly events: readonly Readonly<Record<string, unknown>>[];
  readonly failed: string | null;
}

export function storedTurn({ question, events, failed }: StoredTurn): Turn {
  const turn = events.reduce<Turn>(
    (before, { event, data }) => withEvent(before, { id: "", event: text(event) ?? "", data: JSON.stringify(data ?? null) }),
    newTurn(question),
  );
  if (turn.state !== "running") return turn;
  // What was stored is over, however it ended.
  return failed === null ? { ...turn, state: "done" } : ended(turn, failed === "stopped");
}

function withText(turn: Turn, more: string): Turn {
  const last = turn.parts.at(-1);
  if (last?.kind !== "text") return { ...turn, parts: [...turn.parts, { kind: "text", text: more }] };
  return { ...turn, parts: [...turn.parts.slice(0, -1), { kind: "text", text: last.text + more }] };
}

function toldOf(input: unknown): string {
  const fields = typeof input === "object" && input !== null ? (input as Record<string, unknown>) : {};
  return text(fields["sql"]) ?? (Object.keys(fields).length === 0 ? "" : JSON.stringify(input));
}

function parse(data: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(data);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
