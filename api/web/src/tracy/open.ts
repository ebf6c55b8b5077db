/**
 * Whether Tracy's panel is open, what is to be asked next, and what the page is about.
 *
 * Upstream: the button of the shell, "ask Tracy about this" of a step.
 * Downstream: the shell, the panel.
 * Guarantee: small enough for the first page; the panel itself is loaded when it is first opened.
 */
import { useEffect, useSyncExternalStore } from "react";

/** What "this" in a question means. */
export interface PageSubject {
  readonly agent_id?: string;
  readonly trace_id?: string;
  readonly span_id?: string;
}

interface TracyState {
  readonly isOpen: boolean;
  /** Put into the field, for the person to send. */
  readonly draft: string;
  readonly subject: PageSubject;
}

let state: TracyState = { isOpen: false, draft: "", subject: {} };
const listeners = new Set<() => void>();

function change(next: Partial<TracyState>): void {
  state = { ...state, ...next };
  for (const listener of listeners) listener();
}

export function toggleTracy(): void {
  change({ isOpen: !state.isOpen, draft: "" });
}

export function closeTracy(): void {
  change({ isOpen: false });
}

export function askTracy(draft: string): void {
  change({ isOpen: true, draft });
}

export function useTracyPanel(): TracyState {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => state,
  );
}

/** Say what the page is about, as long as it is shown. */
export function useTracySubject(subject: PageSubject): void {
  const { agent_id, trace_id, span_id } = subject;
  useEffect(() => {
    change({
      subject: {
        ...(agent_id === undefined ? {} : { agent_id }),
        ...(trace_id === undefined ? {} : { trace_id }),
        ...(span_id === undefined ? {} : { span_id }),
      },
    });
    return () => change({ subject: {} });
  }, [agent_id, trace_id, span_id]);
}
