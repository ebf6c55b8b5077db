/**
 * The API as typed functions; one place for the base path, the session and problems.
 *
 * Upstream: `schema.d.ts`, generated from the committed OpenAPI document.
 * Downstream: the hooks of each page.
 * Guarantee: every failure is a `Problem` with a plain sentence; a lost session is told once, to whoever shows the login.
 */
import createClient from "openapi-fetch";

import type { paths } from "./schema";

/** What the API says when it refuses (application/problem+json), or what the network says when it does not answer. */
export class Problem extends Error {
  readonly status: number;
  readonly title: string;
  readonly fields: readonly { field: string; message: string }[];
  readonly retryAfterS: number | undefined;

  constructor(status: number, title: string, detail: string, fields: Problem["fields"] = [], retryAfterS?: number) {
    super(detail || title);
    this.name = "Problem";
    this.status = status;
    this.title = title;
    this.fields = fields;
    this.retryAfterS = retryAfterS;
  }
}

type SessionLost = () => void;
const lostListeners = new Set<SessionLost>();

/** Be told when the API no longer knows who this is. */
export function onSessionLost(listener: SessionLost): () => void {
  lostListeners.add(listener);
  return () => lostListeners.delete(listener);
}

export const api = createClient<paths>({ baseUrl: "/", credentials: "same-origin" });

api.use({
  // A header that another site's form cannot send: the session's cookie alone changes nothing.
  onRequest({ request }) {
    request.headers.set("x-clawtrace-ui", "1");
    return request;
  },
});

interface Answer<Data> {
  data?: Data;
  error?: unknown;
  response: Response;
}

/** Wait for an answer; return its data or throw a `Problem`. */
export async function read<Data>(answering: Promise<Answer<Data>>): Promise<Data> {
  let answer: Answer<Data>;
  try {
    answer = await answering;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, "No answer", "ClawTrace does not answer. Is the stack running? (make up)");
  }
  if (answer.response.ok) return answer.data as Data;
  if (answer.response.status === 401) for (const listener of lostListeners) listener();
  throw problemOf(answer.response, answer.error);
}

/** Read a refusal. */
export function problemOf(response: Response, body: unknown): Problem {
  const said = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
  const errors = Array.isArray(said["errors"]) ? (said["errors"] as Record<string, unknown>[]) : [];
  const retryAfter = Number(response.headers.get("retry-after"));
  return new Problem(
    response.status,
    text(said["title"]) || response.statusText || `Status ${response.status}`,
    text(said["detail"]),
    errors.map((error) => ({ field: text(error["field"]), message: text(error["message"] ?? error["detail"]) })),
    Number.isFinite(retryAfter) && retryAfter > 0 ? retryAfter : undefined,
  );
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
