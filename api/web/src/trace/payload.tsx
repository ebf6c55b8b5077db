/**
 * What went into a call or came out of it: as a tree when it is JSON, as text otherwise, stretch by stretch.
 *
 * Upstream: GET /v1/traces/{trace_id}/spans/{span_id}?payloads=true.
 * Downstream: the step detail.
 * Guarantee: nothing is read before it is asked for; at most STRETCH_CHARS come at once.
 */
import { useInfiniteQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";

import { api, read } from "../api/client";
import type { SpanDetail } from "../api/queries";
import { CopyButton } from "../kit/copy";
import { formatCount } from "../kit/format";
import { JsonTree } from "../kit/json_tree";
import { Failed, Loading } from "../kit/states";

export const STRETCH_CHARS = 50_000;

/** The value of a JSON text; undefined when it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function readStretch(traceId: string, spanId: string, offset: number, signal?: AbortSignal): Promise<SpanDetail> {
  return read(
    api.GET("/v1/traces/{trace_id}/spans/{span_id}", {
      params: {
        path: { trace_id: traceId, span_id: spanId },
        query: { payloads: true, offset, limit: STRETCH_CHARS },
      },
      ...(signal === undefined ? {} : { signal }),
    }),
  );
}

export function Payloads({ traceId, spanId }: { readonly traceId: string; readonly spanId: string }) {
  const stretches = useInfiniteQuery({
    queryKey: ["payloads", traceId, spanId],
    queryFn: ({ pageParam, signal }) => readStretch(traceId, spanId, pageParam, signal),
    initialPageParam: 0,
    getNextPageParam: (span) => span.next_offset ?? null,
    staleTime: Infinity,
  });
  if (stretches.isPending) return <Loading what="input and output" />;
  if (stretches.isLoadingError) return <Failed error={stretches.error} onRetry={() => void stretches.refetch()} />;
  const { pages } = stretches.data;
  const more = stretches.hasNextPage ? () => void stretches.fetchNextPage() : undefined;
  return (
    <>
      {(["input", "output"] as const).map((side) => (
        <Payload
          key={side}
          title={side === "input" ? "Input" : "Output"}
          text={pages.map((page) => page[side] ?? "").join("")}
          numChars={pages[0]![`${side}_chars`] ?? null}
          onMore={more}
          isLoading={stretches.isFetchingNextPage}
        />
      ))}
    </>
  );
}

interface PayloadProps {
  readonly title: string;
  readonly text: string;
  readonly numChars: number | null;
  readonly onMore: (() => void) | undefined;
  readonly isLoading: boolean;
}

function Payload({ title, text, numChars, onMore, isLoading }: PayloadProps) {
  const [isRaw, setRaw] = useState(false);
  const isWhole = numChars === null || text.length >= numChars;
  const value = useMemo(() => (isWhole ? parseJson(text) : undefined), [isWhole, text]);
  return (
    <section className="payload">
      <header className="payload-head">
        <h3>{title}</h3>
        {numChars !== null && (
          <span>
            <span className="soft">{formatCount(numChars)} characters </span>
            {value !== undefined && (
              <button type="button" className="button button-small" aria-pressed={isRaw} onClick={() => setRaw(!isRaw)}>
                Text
              </button>
            )}{" "}
            <CopyButton text={text} label={isWhole ? "Copy" : "Copy this part"} />
          </span>
        )}
      </header>
      {numChars === null ? (
        <p className="soft">Not recorded.</p>
      ) : value !== undefined && !isRaw ? (
        <JsonTree value={value} />
      ) : (
        <pre className="payload-text">{text}</pre>
      )}
      {!isWhole && onMore !== undefined && (
        <button type="button" className="button button-small" onClick={onMore} disabled={isLoading}>
          {isLoading ? "Loading …" : `Show more (${formatCount(numChars - text.length)} characters left)`}
        </button>
      )}
    </section>
  );
}
