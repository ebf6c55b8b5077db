/**
 * `openclaw clawtrace ask`: a question of an agent, or of a person, about this install's own runs.
 *
 * Upstream: `cli.mjs`; the skill `clawtrace-self-check` tells agents of it.
 * Downstream: `POST <api>/v1/evolve/ask` with the observe key, answered as a stream of events.
 * Guarantee: prints the answer or one plain sentence why there is none; the key is never printed.
 */

import { readServerEvents } from "./guard/sse.mjs";

const ANSWER_TIMEOUT_MS = 120_000;

/**
 * @param {string} question
 * @param {{settings: () => import("./settings.mjs").Settings, say: (text: string) => void}} context
 * @returns {Promise<boolean>} whether there is an answer
 */
export async function runAsk(question, { settings, say }) {
  const { api, observeKey } = settings();
  if (!api || !observeKey) {
    say("ClawTrace cannot be asked: run openclaw clawtrace setup with --api, the address of its API.");
    return false;
  }
  if (!question?.trim()) {
    say('No question. Ask like this: openclaw clawtrace ask "What did my last run cost?"');
    return false;
  }
  let response;
  try {
    response = await fetch(`${api}/v1/evolve/ask`, {
      method: "POST",
      body: JSON.stringify({ question }),
      headers: {
        authorization: `Bearer ${observeKey}`,
        "content-type": "application/json",
        accept: "text/event-stream",
      },
      // A key must not travel to wherever an answer points.
      redirect: "manual",
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    });
  } catch (error) {
    say(`ClawTrace has not answered: nobody answers at ${api} (${error?.cause?.code ?? error?.name}).`);
    return false;
  }
  if (response.status !== 200) {
    say(refusal(response.status, await response.text().catch(() => "")));
    return false;
  }
  const { answer, error } = await readAnswer(response).catch((failure) => ({ answer: "", error: failure.message }));
  if (answer) say(answer);
  if (error) say(`ClawTrace could not finish its answer: ${error}`);
  else if (!answer) say("ClawTrace has no answer to that.");
  return Boolean(answer) && !error;
}

async function readAnswer(response) {
  const parts = [];
  let error = "";
  const onEvent = ({ event, data }) => {
    const told = parsed(data);
    if (event === "text") parts.push(textOf(told));
    else if (event === "error") error = told?.detail ?? told?.message ?? told?.title ?? String(data);
  };
  await readServerEvents(response.body, { onEvent });
  return { answer: parts.join("").trim(), error };
}

function textOf(told) {
  return typeof told === "string" ? told : String(told?.text ?? told?.delta ?? "");
}

function parsed(data) {
  try {
    return JSON.parse(data);
  } catch {
    return data;
  }
}

function refusal(status, text) {
  if (status === 404) return "ClawTrace cannot be asked: this server answers no questions of agents (404).";
  const told = parsed(text);
  const why = told?.detail ?? told?.title;
  return `ClawTrace has not answered (${status}${why ? `: ${why}` : ""}).`;
}
