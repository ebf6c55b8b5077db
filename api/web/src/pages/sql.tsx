/**
 * SQL over one's own tables: editor, columns beside it, result as table and chart, export, saved queries.
 *
 * Upstream: POST /v1/sql; a query in the address, from a citation or a link.
 * Downstream: people.
 * Guarantee: a query of a link is shown, never run by itself; a running one can be stopped.
 */
import { useMutation, useQueries } from "@tanstack/react-query";
import { lazy, Suspense, useMemo, useRef, useState } from "react";

import { Problem } from "../api/client";
import { askSql, columnsQuery, type SqlAnswer } from "../api/queries";
import { Chart, overPlaces } from "../kit/chart";
import { formatCount, formatDuration, formatUsd } from "../kit/format";
import { Page } from "../kit/page";
import { Empty, Loading } from "../kit/states";
import { Table } from "../kit/table";
import { useUrlState } from "../kit/url_state";
import { cellText, download, isNumeric, plotOf, toCsv, toJson } from "../sql/result";
import { EXAMPLES, keepQueries, type SavedQuery, savedQueries, TABLES } from "../sql/saved";
import "./sql.css";

const Editor = lazy(() => import("../sql/editor"));
const FIRST_ROWS = 200;
const COLUMNS_OF_TABLES = TABLES.map((table) => columnsQuery(table));
// One function for good: what it gives stays the same list as long as nothing came.
const columnsRead = (found: readonly { readonly data?: SqlAnswer["columns"] | undefined }[]) => found.map(({ data }) => data);

export default function Sql() {
  const { get, set } = useUrlState();
  const linked = get("q");
  const [text, setText] = useState(linked ?? EXAMPLES[0]!.sql);
  const [seen, setSeen] = useState(linked);
  if (seen !== linked) {
    setSeen(linked);
    if (linked !== undefined) setText(linked);
  }
  const [saved, setSaved] = useState(savedQueries);
  const stopper = useRef<AbortController>(undefined);
  const columns = useQueries({ queries: COLUMNS_OF_TABLES, combine: columnsRead });
  const schema = useMemo(
    () => Object.fromEntries(TABLES.map((table, at) => [table, (columns[at] ?? []).map((column) => column.name)])),
    [columns],
  );
  const run = useMutation({
    mutationFn: async (sql: string) => {
      stopper.current = new AbortController();
      const beganMs = performance.now();
      const answer = await askSql(sql, stopper.current.signal);
      return { answer, tookMs: performance.now() - beganMs };
    },
  });
  const start = () => {
    if (text.trim() === "" || run.isPending) return;
    set({ q: text });
    run.mutate(text);
  };
  const keep = () => {
    const name = text.trim().split("\n")[0]!.slice(0, 60);
    const next = [{ name, sql: text }, ...saved.filter((query) => query.sql !== text)];
    if (keepQueries(next)) setSaved(next);
  };
  const forget = (query: SavedQuery) => {
    const next = saved.filter((other) => other !== query);
    if (keepQueries(next)) setSaved(next);
  };
  return (
    <Page title="SQL" lead={<p className="soft">One SELECT over your own tables, in Trino’s SQL; instants are UTC.</p>}>
      <div className="sql-split">
        <div className="sql-main">
          <div className="sql-box">
            <Suspense fallback={<Loading what="the editor" />}>
              <Editor text={text} schema={schema} onChange={setText} onRun={start} />
            </Suspense>
          </div>
          <div className="sql-tools">
            <button type="button" className="button button-main" onClick={start} disabled={run.isPending}>
              Run <kbd>Ctrl ↵</kbd>
            </button>
            {run.isPending && (
              <button type="button" className="button" onClick={() => stopper.current?.abort()}>
                Stop
              </button>
            )}
            <button type="button" className="button" onClick={keep}>
              Save
            </button>
            {run.isPending && <Loading what="the result" />}
          </div>
          {run.isError && <SqlFailed error={run.error} />}
          {run.isSuccess && <Result answer={run.data.answer} tookMs={run.data.tookMs} />}
        </div>
        <aside className="sql-side" aria-label="Tables and queries">
          <section>
            <h2>Tables</h2>
            {TABLES.map((table, at) => (
              <details key={table} className="sql-table">
                <summary>{table}</summary>
                <ul>
                  {(columns[at] ?? []).map((column) => (
                    <li key={column.name}>
                      <span className="mono">{column.name}</span> <span className="soft">{column.type}</span>
                    </li>
                  ))}
                </ul>
              </details>
            ))}
          </section>
          <section>
            <h2>Queries</h2>
            <ul className="sql-queries">
              {saved.map((query) => (
                <li key={query.sql}>
                  <button type="button" className="button-link" onClick={() => setText(query.sql)}>
                    {query.name}
                  </button>
                  <button type="button" className="button button-quiet button-small" aria-label={`Forget ${query.name}`} onClick={() => forget(query)}>
                    ✕
                  </button>
                </li>
              ))}
              {EXAMPLES.map((query) => (
                <li key={query.name}>
                  <button type="button" className="button-link" onClick={() => setText(query.sql)}>
                    {query.name}
                  </button>
                </li>
              ))}
            </ul>
          </section>
        </aside>
      </div>
    </Page>
  );
}

function SqlFailed({ error }: { readonly error: unknown }) {
  if (error instanceof DOMException && error.name === "AbortError") return <p role="status">Stopped.</p>;
  return (
    <div className="state state-failed" role="alert">
      <p className="state-title">{error instanceof Problem ? error.title : "The query failed"}</p>
      <p>{error instanceof Error ? error.message : String(error)}</p>
    </div>
  );
}

function Result({ answer, tookMs }: { readonly answer: SqlAnswer; readonly tookMs: number }) {
  const [isChart, setChart] = useState(false);
  const [numShown, setNumShown] = useState(FIRST_ROWS);
  const plot = useMemo(() => plotOf(answer), [answer]);
  const option = useMemo(
    () => (plot === undefined ? undefined : overPlaces(plot.places, plot.series.map((series) => ({ ...series, kind: plot.kind })), plot.isMoney ? formatUsd : formatCount)),
    [plot],
  );
  return (
    <section aria-label="Result" className="sql-result">
      <div className="sql-tools">
        <span role="status">
          {formatCount(answer.rows.length)} {answer.rows.length === 1 ? "row" : "rows"}
          {answer.truncated && ", cut: there are more"} in {formatDuration(tookMs)}
        </span>
        {option !== undefined && (
          <button type="button" className="button button-small" aria-pressed={isChart} onClick={() => setChart(!isChart)}>
            Chart
          </button>
        )}
        <button type="button" className="button button-small" onClick={() => download("clawtrace.csv", "text/csv", toCsv(answer))}>
          CSV
        </button>
        <button type="button" className="button button-small" onClick={() => download("clawtrace.json", "application/json", toJson(answer))}>
          JSON
        </button>
      </div>
      {isChart && option !== undefined && (
        <div className="card card-body">
          <Chart option={option} label={`${plot!.series.map((series) => series.name).join(", ")} over ${formatCount(plot!.places.length)} places`} heightPx={280} />
        </div>
      )}
      {answer.rows.length === 0 ? (
        <Empty title="No rows." />
      ) : (
        <Table
          label="Rows"
          caption="Rows of the result"
          className="sql-rows"
          columns={answer.columns.map(({ name, type }) => ({ name, isNumber: isNumeric(type), title: type }))}
        >
              {answer.rows.slice(0, numShown).map((row, number) => (
                <tr key={number}>
                  {row.map((value, at) => (
                    <td key={at} className={isNumeric(answer.columns[at]?.type ?? "") ? "num" : undefined}>
                      {value === null ? <span className="soft">null</span> : <span className="clip">{cellText(value, answer.columns[at]?.type ?? "")}</span>}
                    </td>
                  ))}
                </tr>
              ))}
        </Table>
      )}
      {answer.rows.length > numShown && (
        <div className="more">
          <button type="button" className="button" onClick={() => setNumShown(numShown + 5 * FIRST_ROWS)}>
            Show more of {formatCount(answer.rows.length)} rows
          </button>
        </div>
      )}
    </section>
  );
}
