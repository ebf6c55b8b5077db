/**
 * One step of a run: what it was, what it cost and why, what went in and came out.
 *
 * Upstream: the selected span.
 * Downstream: people; Tracy, with the step as the subject.
 * Guarantee: tokens in four buckets that do not overlap; an unknown price is said, never shown as 0.
 */
import { useQuery } from "@tanstack/react-query";
import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import { Link } from "react-router";

import { type AlertItem, priceQuery, type SpanDetail, spanQuery, type TraceSkeleton } from "../api/queries";
import { formatCount, formatDuration, formatInstant, formatTokens, formatUsd, UNKNOWN } from "../kit/format";
import { CopyButton } from "../kit/copy";
import { Failed, Loading, StatusBadge } from "../kit/states";
import { microsOf, TOKEN_BUCKETS, totalTokens } from "../kit/tokens";
import { askTracy } from "../tracy/open";
import { bucketCosts } from "./bucket_costs";
import type { TraceModel } from "./model";
import { Payloads } from "./payload";
import { similarCalls } from "./skeleton";
import "./step_detail.css";

const MAX_SIMILAR = 20;

interface StepDetailProps {
  readonly traceId: string;
  readonly spanId: string;
  readonly model: TraceModel;
  readonly skeleton: TraceSkeleton;
  readonly alerts: readonly AlertItem[];
  readonly onSelect: (spanId: string) => void;
  readonly onClose: () => void;
}

export function StepDetail({ traceId, spanId, model, skeleton, alerts, onSelect, onClose }: StepDetailProps) {
  const span = useQuery(spanQuery(traceId, spanId));
  const panel = useRef<HTMLElement>(null);
  const index = model.indexOf(spanId);
  useEffect(() => {
    panel.current?.scrollIntoView({ block: "nearest" });
  }, [spanId]);
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      onClose();
    }
  };
  return (
    <aside ref={panel} className="card step" aria-label="Step" onKeyDown={onKeyDown}>
      <header className="step-head">
        <h2>{index >= 0 ? model.columns.names[index] : spanId}</h2>
        <button type="button" className="button button-quiet" onClick={onClose} aria-label="Close the step">
          ✕
        </button>
      </header>
      <div className="step-body">
        {span.isPending && <Loading what="the step" />}
        {span.isLoadingError && <Failed error={span.error} onRetry={() => void span.refetch()} />}
        {span.data !== undefined && (
          <>
            <Facts span={span.data} model={model} index={index} />
            {alerts
              .filter((alert) => alert.span_id === spanId)
              .map((alert) => (
                <p key={alert.alert_id} className="step-alert">
                  <Link to={`/alerts/${encodeURIComponent(alert.alert_id)}`}>{alert.rule.replaceAll("_", " ")}</Link>:{" "}
                  {alert.message}
                </p>
              ))}
            <div className="step-actions">
              <button
                type="button"
                className="button button-small"
                onClick={() => askTracy("What happened in this step, and was it worth its cost?")}
              >
                Ask Tracy about this
              </button>
              <CopyButton text={spanId} label="Copy id" />
              <CopyButton
                text={`${location.origin}/traces/${traceId}?span=${encodeURIComponent(spanId)}`}
                label="Copy link"
              />
            </div>
            <Tokens span={span.data} />
            <Similar model={model} skeleton={skeleton} index={index} onSelect={onSelect} />
            <Payloads key={spanId} traceId={traceId} spanId={spanId} />
          </>
        )}
      </div>
    </aside>
  );
}

function Facts({ span, model, index }: { readonly span: SpanDetail; readonly model: TraceModel; readonly index: number }) {
  const withBelow = index >= 0 && model.hasChildren(index) ? model.totalUsd[index] : undefined;
  const facts: [string, string | null][] = [
    ["Cost", withBelow === undefined ? formatUsd(span.cost_usd) : `${formatUsd(withBelow)} with all below`],
    ["Price", span.price_id ?? (span.kind === "model_call" ? "no price is known" : null)],
    ["Said by the source", span.reported_cost_usd === null ? null : formatUsd(span.reported_cost_usd)],
    ["Duration", span.status === "running" ? "still running" : formatDuration(model.columns.durationsMs[index] ?? span.duration_ms)],
    ["Started", formatInstant(microsOf(span.started_at))],
    ["Model", span.model === null ? null : [span.provider, span.model].filter(Boolean).join("/")],
    ["Tool", span.tool_name],
    ["Exit code", span.exit_code === null ? null : formatCount(span.exit_code)],
    ["Agent", span.openclaw_agent_id],
    ["Session", span.session_key],
    ["Attempt", span.attempt === null || span.attempt === 1 ? null : String(span.attempt)],
    ["Marks", span.flags.length === 0 ? null : span.flags.join(", ").replaceAll("_", " ")],
  ];
  return (
    <>
      <p>
        <StatusBadge status={span.status} /> <span className="badge">{span.kind.replace("_", " ")}</span>
      </p>
      {span.error !== null && (
        <pre className="step-error" aria-label="Error">
          {span.error}
        </pre>
      )}
      <dl className="facts">
        {facts
          .filter(([, value]) => value !== null && value !== UNKNOWN)
          .map(([name, value]) => (
            <div key={name} className="fact">
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
      </dl>
    </>
  );
}

function Tokens({ span }: { readonly span: SpanDetail }) {
  const { provider, model, price_id } = span;
  const price = useQuery({ ...priceQuery(provider ?? "", model ?? "", span.started_at), enabled: provider !== null && model !== null && price_id !== null });
  const tokens = span.tokens ?? span.run_totals?.tokens;
  const total = totalTokens(tokens);
  if (tokens === null || tokens === undefined || total === null || total === 0) return null;
  // A list that was renewed since says nothing about this call any more.
  const costs = price.data?.price_id === price_id && span.tokens !== null ? bucketCosts(tokens, span, price.data) : undefined;
  return (
    <section>
      <h3>
        Tokens <span className="soft">{formatTokens(total)}</span>
      </h3>
      <table className="step-tokens">
        {costs !== undefined && (
          <thead className="soft">
            <tr>
              <td colSpan={2} />
              <th scope="col" className="num">
                Tokens
              </th>
              <th scope="col" className="num">
                $ per M
              </th>
              <th scope="col" className="num">
                Cost
              </th>
            </tr>
          </thead>
        )}
        <tbody>
          {TOKEN_BUCKETS.map(([bucket, name]) => (
            <tr key={bucket}>
              <th scope="row">{name}</th>
              <td>
                <svg className="step-share" width="100%" height={8} aria-hidden="true">
                  <rect width={`${(100 * tokens[bucket]) / total}%`} height={8} rx={2} />
                </svg>
              </td>
              <td className="num">{formatTokens(tokens[bucket])}</td>
              {costs !== undefined && (
                <>
                  <td className="num">{formatUsd(costs[bucket].rateUsd)}</td>
                  <td className="num">{formatUsd(costs[bucket].costUsd)}</td>
                </>
              )}
            </tr>
          ))}
        </tbody>
      </table>
      {span.reasoning_tokens !== null && span.reasoning_tokens > 0 && (
        <p className="soft">Of the output, {formatTokens(span.reasoning_tokens)} for reasoning.</p>
      )}
    </section>
  );
}

interface SimilarProps {
  readonly model: TraceModel;
  readonly skeleton: TraceSkeleton;
  readonly index: number;
  readonly onSelect: (spanId: string) => void;
}

function Similar({ model, skeleton, index, onSelect }: SimilarProps) {
  const [isOpen, setOpen] = useState(false);
  if (index < 0 || skeleton.kinds[skeleton.kind[index]!] === "run") return null;
  const similar = similarCalls(skeleton, model.columns, index);
  if (similar.length === 0) return null;
  return (
    <section>
      <button type="button" className="json-twist" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        <span aria-hidden="true">{isOpen ? "▾" : "▸"}</span> <strong>Similar calls</strong>{" "}
        <span className="soft">{formatCount(similar.length)}</span>
      </button>
      {isOpen && (
        <ul className="step-similar">
          {similar.slice(0, MAX_SIMILAR).map((other) => (
            <li key={other}>
              <button type="button" className="button-link" onClick={() => onSelect(model.columns.spanIds[other]!)}>
                {model.columns.names[other]} at {formatDuration(model.columns.startsMs[other])}
              </button>{" "}
              <span className="soft">
                {formatDuration(model.columns.durationsMs[other])} · {formatUsd(model.columns.costsUsd[other])}
              </span>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
