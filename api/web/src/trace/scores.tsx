/**
 * What people, models and the agent's rubric say of a run, and one's own word on it.
 *
 * Upstream: the scores of the trace, read when the panel is opened or its trace has ended.
 * Downstream: POST …/scores and …/scores/judge.
 * Guarantee: folded it is one line; every score says by whom it is; what was sent is shown as soon as it was taken.
 */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, read } from "../api/client";
import { type ScoreItem, scoresQuery, type TraceSummary } from "../api/queries";
import { useMay } from "../api/who";
import { formatInstant } from "../kit/format";
import { ChoiceField, errorOf, Form, FormEnd, FormProblem, TextField } from "../kit/form";
import { Failed, Loading } from "../kit/states";
import { microsOf } from "../kit/tokens";
import "./scores.css";

const VALUES = [
  ["", "only a comment"],
  ["1", "1 – good"],
  ["0.75", "0.75"],
  ["0.5", "0.5 – middling"],
  ["0.25", "0.25"],
  ["0", "0 – bad"],
] as const;
type Value = (typeof VALUES)[number][0];
const WHO = { human: "person", model: "model", rule: "rubric" } as const;

export function ScorePanel({ trace }: { readonly trace: TraceSummary }) {
  const { trace_id: traceId, agent_id: agentId } = trace;
  const [isOpen, setOpen] = useState(false);
  const mayScore = useMay("operator");
  const scores = useQuery({ ...scoresQuery(traceId, agentId), enabled: isOpen || !trace.is_open });
  const items = scores.data?.items ?? [];
  return (
    <details className="card trace-scores" open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        Scores and comments <span className="soft">{scores.data === undefined ? "" : summaryOf(items)}</span>
      </summary>
      {isOpen && (
        <div className="card-body trace-scores-body">
          {scores.isPending && <Loading what="the scores" />}
          {scores.isError && <Failed error={scores.error} onRetry={() => void scores.refetch()} />}
          {scores.data !== undefined && items.length === 0 && <p className="soft">Nobody has scored this run, and its agent has no rubric that did.</p>}
          {items.length > 0 && <ScoreTable items={items} />}
          {mayScore && scores.data?.has_questions === true && !trace.is_open && <AskJudge traceId={traceId} agentId={agentId} />}
          {mayScore && <ScoreForm traceId={traceId} agentId={agentId} />}
        </div>
      )}
    </details>
  );
}

/** The rubric's total, and how many others have said something. */
function summaryOf(items: readonly ScoreItem[]): string {
  const total = items.find(({ source, criterion }) => source === "rule" && criterion === "total")?.value;
  const numPeople = items.filter(({ source }) => source === "human").length;
  const parts = [
    ...(total === undefined || total === null ? [] : [`${total.toFixed(2)} by the rubric`]),
    ...(numPeople === 0 ? [] : [`${numPeople} by people`]),
  ];
  return parts.join(", ") || "none";
}

function ScoreTable({ items }: { readonly items: readonly ScoreItem[] }) {
  return (
    <div className="trace-scores-list" role="region" aria-label="Scores" tabIndex={0}>
      <table className="table">
        <thead>
          <tr>
            <th scope="col">What</th>
            <th scope="col">Score</th>
            <th scope="col">By</th>
            <th scope="col">Why</th>
            <th scope="col">When</th>
          </tr>
        </thead>
        <tbody>
          {items.map((item) => (
            <tr key={item.score_id}>
              <th scope="row">{item.criterion}</th>
              <td>{item.value === null ? "–" : item.value.toFixed(2)}</td>
              <td>
                {item.scorer} <span className="soft">{WHO[item.source]}</span>
              </td>
              <td className="trace-scores-why">{item.comment}</td>
              <td className="soft">{formatInstant(microsOf(item.at))}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface AboutTrace {
  readonly traceId: string;
  readonly agentId: string;
}

function useScoresRenewal(traceId: string): () => Promise<unknown> {
  const client = useQueryClient();
  return () => client.invalidateQueries({ queryKey: ["scores", traceId] });
}

function AskJudge({ traceId, agentId }: AboutTrace) {
  const renew = useScoresRenewal(traceId);
  const judge = useMutation({
    mutationFn: () => read(api.POST("/v1/traces/{trace_id}/scores/judge", { params: { path: { trace_id: traceId }, query: { agent_id: agentId } } })),
    onSuccess: renew,
  });
  return (
    <div>
      <button type="button" className="button button-small" disabled={judge.isPending} onClick={() => judge.mutate()}>
        {judge.isPending ? "The model is judging…" : "Have a model judge"}
      </button>
      <FormProblem error={judge.error} />
    </div>
  );
}

function ScoreForm({ traceId, agentId }: AboutTrace) {
  const renew = useScoresRenewal(traceId);
  const [value, setValue] = useState<Value>("");
  const [comment, setComment] = useState("");
  const send = useMutation({
    mutationFn: () =>
      read(
        api.POST("/v1/traces/{trace_id}/scores", {
          params: { path: { trace_id: traceId }, query: { agent_id: agentId } },
          body: { criterion: "overall", value: value === "" ? null : Number(value), comment: comment.trim() },
        }),
      ),
    onSuccess: () => {
      setComment("");
      setValue("");
      return renew();
    },
  });
  return (
    <Form aria-label="Score this run" onSend={() => send.mutate()}>
      <ChoiceField label="Your score" value={value} choices={VALUES} error={errorOf(send.error, "value")} onChoice={setValue} />
      <TextField label="Comment" required={value === ""} maxLength={2000} value={comment} error={errorOf(send.error, "comment")} onText={setComment} />
      <FormEnd error={send.error} fields={["value", "comment"]} isPending={send.isPending} send="Send" />
    </Form>
  );
}
