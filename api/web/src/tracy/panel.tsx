/**
 * Tracy beside the page: questions, streamed answers, where each figure comes from.
 *
 * Upstream: POST /v1/tracy/chat; what the page is about.
 * Downstream: people; the SQL page, where a citation opens.
 * Guarantee: an answer can be stopped; stopping ends its queries on the server, too. Charts show only what the list of
 * `chart_option` lets through.
 */
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";
import { Link } from "react-router";

import { problemOf } from "../api/client";
import { conversationsQuery } from "../api/queries";
import { Chart } from "../kit/chart";
import { readEvents } from "../kit/events";
import { Form } from "../kit/form";
import { Markdown } from "../kit/markdown_view";
import { allowedOption } from "./chart_option";
import { type Citation, ended, newTurn, type Part, sessionOf, type Turn, withEvent } from "./conversation";
import { type PageSubject, useTracyPanel } from "./open";
import { Past } from "./past";
import "./panel.css";

const MAX_CHARS = 8_000;

function suggestionsFor(subject: PageSubject): readonly string[] {
  if (subject.span_id !== undefined) return ["What happened in this step?", "Was this step needed?", "What did similar steps cost?"];
  if (subject.trace_id !== undefined) return ["Why did this run cost what it cost?", "Which steps were repeated?", "What failed, and why?"];
  if (subject.agent_id !== undefined) return ["What did this agent spend on, day by day?", "Which runs of this agent failed?", "Is its cache used well?"];
  return ["What did I spend this week, by model?", "Which run was the dearest, and why?", "Which tools fail most?"];
}

export default function TracyPanel({ onClose }: { readonly onClose: () => void }) {
  const { draft, subject } = useTracyPanel();
  const client = useQueryClient();
  const [turns, setTurns] = useState<readonly Turn[]>([]);
  const [question, setQuestion] = useState(draft);
  const [isPastShown, setPastShown] = useState(false);
  const session = useRef<string>(undefined);
  const stopper = useRef<AbortController>(undefined);
  const field = useRef<HTMLTextAreaElement>(null);
  const talk = useRef<HTMLDivElement>(null);
  const end = useRef<HTMLDivElement>(null);
  const isRunning = turns.at(-1)?.state === "running";

  useEffect(() => {
    if (draft !== "") setQuestion(draft);
    field.current?.focus();
  }, [draft]);
  useEffect(() => {
    end.current?.scrollIntoView({ block: "nearest" });
  }, [turns]);
  useEffect(() => () => stopper.current?.abort(), []);

  const change = (next: (turn: Turn) => Turn) => setTurns((before) => [...before.slice(0, -1), next(before.at(-1)!)]);
  const ask = async (text: string) => {
    const asked = text.trim();
    if (asked === "" || isRunning) return;
    setQuestion("");
    setPastShown(false);
    // The button of a suggestion is gone now: keys such as Escape go on from here.
    talk.current?.focus();
    setTurns((before) => [...before, newTurn(asked)]);
    const stopping = new AbortController();
    stopper.current = stopping;
    try {
      const response = await fetch("/v1/tracy/chat", {
        method: "POST",
        credentials: "same-origin",
        headers: { "content-type": "application/json", "x-clawtrace-ui": "1" },
        body: JSON.stringify({ question: asked, page: subject, ...(session.current === undefined ? {} : { session_id: session.current }) }),
        signal: stopping.signal,
      });
      if (!response.ok) throw problemOf(response, await response.json().catch(() => undefined));
      for await (const event of readEvents(response)) {
        session.current = sessionOf(event) ?? session.current;
        change((turn) => withEvent(turn, event));
      }
      change((turn) => ended(turn, false));
    } catch (error) {
      if (stopping.signal.aborted) change((turn) => ended(turn, true));
      else change((turn) => ({ ...turn, state: "failed", failure: error instanceof Error ? error.message : String(error) }));
    }
    void client.invalidateQueries({ queryKey: conversationsQuery.queryKey });
  };

  return (
    <aside
      className="tracy"
      aria-label="Tracy"
      onKeyDown={(event) => {
        if (event.key === "Escape") onClose();
      }}
    >
      <header className="tracy-head">
        <h2>Tracy</h2>
        <span className="row-actions">
          {!isRunning && (
            <button type="button" className="button button-small" aria-pressed={isPastShown} onClick={() => setPastShown(!isPastShown)}>
              Past
            </button>
          )}
          {turns.length > 0 && !isRunning && (
            <button
              type="button"
              className="button button-small"
              onClick={() => {
                session.current = undefined;
                setTurns([]);
                setPastShown(false);
                field.current?.focus();
              }}
            >
              New conversation
            </button>
          )}
          <button type="button" className="button button-quiet" onClick={onClose} aria-label="Close Tracy">
            ✕
          </button>
        </span>
      </header>
      <div ref={talk} className="tracy-talk" role="log" aria-label="Conversation" tabIndex={0}>
        {isPastShown && (
          <Past
            onOpen={(sessionId, past) => {
              session.current = sessionId;
              setTurns(past);
              setPastShown(false);
              field.current?.focus();
            }}
          />
        )}
        {!isPastShown && turns.length === 0 && (
          <div className="tracy-begin">
            <p>She reads your traces with SQL and shows where each figure comes from.</p>
            <ul>
              {suggestionsFor(subject).map((suggestion) => (
                <li key={suggestion}>
                  <button type="button" className="button" onClick={() => void ask(suggestion)}>
                    {suggestion}
                  </button>
                </li>
              ))}
            </ul>
          </div>
        )}
        {!isPastShown && turns.map((turn, at) => <TurnView key={at} turn={turn} />)}
        <div ref={end} />
      </div>
      <Form className="tracy-ask" onSend={() => void ask(question)}>
        <label htmlFor="tracy-question" className="visually-hidden">
          Question
        </label>
        <textarea
          id="tracy-question"
          ref={field}
          className="input"
          rows={3}
          maxLength={MAX_CHARS}
          placeholder={subject.trace_id === undefined ? "Ask about your agents" : "Ask about this run"}
          value={question}
          onChange={(event) => setQuestion(event.target.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
              event.preventDefault();
              void ask(question);
            }
          }}
        />
        {isRunning ? (
          <button type="button" className="button" onClick={() => stopper.current?.abort()}>
            Stop
          </button>
        ) : (
          <button type="submit" className="button button-main" disabled={question.trim() === ""}>
            Ask
          </button>
        )}
      </Form>
    </aside>
  );
}

function TurnView({ turn }: { readonly turn: Turn }) {
  const [shown, setShown] = useState<string>();
  const citation = shown === undefined ? undefined : turn.citations.get(shown);
  return (
    <article className="tracy-turn">
      <p className="tracy-question">{turn.question}</p>
      {turn.parts.map((part, at) => (
        <PartView key={at} part={part} shown={shown} onShow={(id) => setShown(id === shown ? undefined : id)} />
      ))}
      {citation !== undefined && <CitationView citation={citation} />}
      {turn.state === "running" && (
        <p className="soft" role="status">
          <span className="spinner" aria-hidden="true" /> Tracy is at work …
        </p>
      )}
      {turn.state === "stopped" && <p className="soft">Stopped.</p>}
      {turn.state === "failed" && (
        <p className="tracy-failed" role="alert">
          {turn.failure}
        </p>
      )}
    </article>
  );
}

interface PartViewProps {
  readonly part: Part;
  readonly shown: string | undefined;
  readonly onShow: (id: string) => void;
}

function PartView({ part, shown, onShow }: PartViewProps) {
  if (part.kind === "text") {
    return (
      <Markdown
        text={part.text}
        onCitation={(id, text) => (
          <button type="button" className="citation" aria-expanded={shown === id} title="Where this figure comes from" onClick={() => onShow(id)}>
            {text}
          </button>
        )}
      />
    );
  }
  if (part.kind === "chart") return <TracyChart option={part.option} sql={part.sql} />;
  return (
    <details className="tracy-tool">
      <summary>
        {part.state === "running" ? "…" : part.state === "failed" ? "✕" : "✓"} {part.name.replaceAll("_", " ")}
      </summary>
      {part.told !== "" && <pre className="secret">{part.told}</pre>}
    </details>
  );
}

function TracyChart({ option, sql }: { readonly option: unknown; readonly sql: string | null }) {
  const allowed = useMemo(() => allowedOption(option), [option]);
  if (allowed === undefined) return <p className="soft">A chart that cannot be shown.</p>;
  const title = (allowed["title"] as { text?: string }).text;
  return (
    <figure className="tracy-chart">
      <Chart option={allowed} label={title === undefined || title === "" ? "Chart" : title} heightPx={260} />
      {sql !== null && (
        <figcaption>
          <Link to={`/sql?q=${encodeURIComponent(sql)}`}>Open its SQL</Link>
        </figcaption>
      )}
    </figure>
  );
}

function CitationView({ citation }: { readonly citation: Citation }) {
  return (
    <section className="tracy-citation" aria-label="Where the figure comes from">
      <p>
        {citation.status === "updated" ? "The data changed meanwhile; this is the newer value. " : ""}
        {citation.column === null ? "" : `Column ${citation.column}${citation.row === null ? "" : `, row ${citation.row + 1}`} of this query, which ran twice.`}
        {citation.reason !== null && ` ${citation.reason}`}
      </p>
      {citation.sql !== null && (
        <>
          <pre className="secret">{citation.sql}</pre>
          <Link className="button button-small" to={`/sql?q=${encodeURIComponent(citation.sql)}`}>
            Open in SQL
          </Link>
        </>
      )}
    </section>
  );
}
