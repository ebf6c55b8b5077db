/**
 * What a page says when it has nothing, nothing yet, or went wrong: plain words and a way on.
 *
 * Upstream: a query's state.
 * Downstream: every page.
 * Guarantee: a screen reader hears of errors at once and of loading without being interrupted.
 */
import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";

import { Problem } from "../api/client";
import "./states.css";

export function Loading({ what }: { readonly what: string }) {
  return (
    <p className="state soft" role="status">
      <span className="spinner" aria-hidden="true" /> Loading {what} …
    </p>
  );
}

export function Empty({ title, children }: { readonly title: string; readonly children?: ReactNode }) {
  return (
    <div className="state state-empty">
      <p className="state-title">{title}</p>
      {children !== undefined && <div className="soft">{children}</div>}
    </div>
  );
}

export function Failed({ error, onRetry }: { readonly error: unknown; readonly onRetry?: () => void }) {
  const title = error instanceof Problem ? error.title : "Something went wrong";
  const detail = error instanceof Error ? error.message : String(error);
  return (
    <div className="state state-failed" role="alert">
      <p className="state-title">{title}</p>
      {detail !== title && <p>{detail.charAt(0).toUpperCase() + detail.slice(1)}</p>}
      {onRetry !== undefined && (
        <button type="button" className="button" onClick={onRetry}>
          Try again
        </button>
      )}
    </div>
  );
}

interface ListedProps<Item> {
  readonly asked: UseQueryResult<{ readonly items: readonly Item[] }>;
  readonly what: string;
  /** Shown in place of a list of nothing. */
  readonly empty: ReactNode;
  readonly children: (items: readonly Item[]) => ReactNode;
}

/** A list that was asked for: loading, refused, empty, or there. */
export function Listed<Item>({ asked, what, empty, children }: ListedProps<Item>) {
  const items = asked.data?.items;
  return (
    <>
      {asked.isPending && <Loading what={what} />}
      {asked.isLoadingError && <Failed error={asked.error} onRetry={() => void asked.refetch()} />}
      {items !== undefined && (items.length === 0 ? empty : children(items))}
    </>
  );
}

const STATUS_SIGNS: Record<string, string> = { ok: "✓", error: "✕", blocked: "⊘", running: "●", incomplete: "?" };

/** A status as sign and word, never as colour alone. */
export function StatusBadge({ status }: { readonly status: string }) {
  return (
    <span className={`badge badge-${status}`}>
      <span aria-hidden="true">{STATUS_SIGNS[status] ?? "•"}</span> {status}
    </span>
  );
}
