/**
 * The shape of each hook's event: which fields are facts, which are said by people, models or tools.
 *
 * Upstream: `ballast.mjs`, within the hook.
 * Downstream: `plain_copy.mjs`; what was said is marked for `privacy.mjs`.
 * Guarantee: pure but for the ballast's memory; a hook without a shape of its own is copied warily.
 */

import { MAX_LIST, copy, copyFields, copyNamed, isObject } from "./plain_copy.mjs";
import { Said } from "./privacy.mjs";

/** Fields of a tool's result details that tell what happened, not what was said. */
const DETAIL_FACTS = ["status", "exitCode", "runId", "childSessionKey", "deniedReason", "durationMs", "mode"];
/** Fields of a message that tell what it is; whatever else it has belongs to what was said. */
const MESSAGE_FACTS = [
  "role",
  "timestamp",
  "api",
  "provider",
  "model",
  "usage",
  "stopReason",
  "errorMessage",
  "errorCode",
  "responseId",
  "idempotencyKey",
  "customType",
  "display",
  "toolCallId",
  "toolName",
  "isError",
];
/** In hooks that have no shape of their own, longer texts count as said. */
const MAX_FACT_CHARS = 120;

/** @type {Record<string, (event: any, ballast: import("./ballast.mjs").Ballast) => Record<string, unknown>>} */
export const SHAPES = {
  before_agent_reply: (event) => ({ ...copyFields(event), cleanedBody: prompt(event.cleanedBody) }),
  before_model_resolve: (event) => ({ ...copyFields(event), prompt: prompt(event.prompt) }),
  // The same prompt as in the hooks around them.
  agent_turn_prepare: withoutPrompt,
  before_prompt_build: withoutPrompt,
  before_agent_run: (event, ballast) => ({
    ...copyFields(event, ["messages", "systemPrompt", "prompt"]),
    prompt: prompt(event.prompt),
    systemPrompt: ballast.systemPrompt(event.systemPrompt),
    messages: ballast.count(event.messages),
  }),
  llm_input: (event, ballast) => ({
    ...copyFields(event, ["historyMessages", "systemPrompt", "prompt", "tools"]),
    prompt: prompt(event.prompt),
    systemPrompt: ballast.systemPrompt(event.systemPrompt),
    historyMessages: ballast.history(event.historyMessages),
    tools: ballast.toolList(event.tools),
  }),
  llm_output: (event) => ({
    ...copyFields(event, ["assistantTexts", "lastAssistant"]),
    assistantTexts: prompt(event.assistantTexts),
    // Its content came with before_message_write.
    lastAssistant: event.lastAssistant && copyNamed(event.lastAssistant, MESSAGE_FACTS),
  }),
  before_agent_finalize: (event, ballast) => ({
    ...copyFields(event, ["messages", "lastAssistantMessage", "transcriptPath", "cwd"]),
    messages: ballast.count(event.messages),
  }),
  agent_end: (event, ballast) => ({
    ...copyFields(event, ["messages"]),
    messages: ballast.count(event.messages),
  }),
  before_message_write: (event, ballast) => {
    ballast.noteMessage(event.message);
    return { ...copyFields(event, ["message"]), message: messageOf(event.message, ballast) };
  },
  before_tool_call: (event) => ({ ...copyFields(event, ["params"]), params: said("tool_params", event.params) }),
  after_tool_call: (event, ballast) => {
    ballast.noteToolResult(event.toolCallId);
    const shaped = { ...copyFields(event, ["params", "result", "error"]), params: said("tool_params", event.params) };
    if (event.result !== undefined) shaped.result = toolResult(event.result);
    if (event.error !== undefined) shaped.error = said("tool_results", event.error);
    return shaped;
  },
  message_received: spoken("content"),
  message_sending: spoken("content"),
  message_sent: spoken("content"),
  before_dispatch: (event) => ({
    ...copyFields(event, ["content", "body", "bodyForAgent", "rawBody"]),
    content: prompt(event.content ?? event.body),
  }),
  reply_dispatch: (event) => ({
    ...copyFields(event, ["ctx"]),
    ctx: copyNamed(event.ctx, ["SessionKey", "AgentId", "MessageSid", "Provider", "Surface", "ChatType"]),
  }),
  reply_payload_sending: (event) => ({
    ...copyFields(event, ["payload"]),
    payload: isObject(event.payload)
      ? { ...copyFields(event.payload, ["text"]), text: prompt(event.payload.text) }
      : prompt(event.payload),
  }),
  cron_changed: (event) => ({
    ...copyFields(event, ["job", "summary"]),
    summary: prompt(event.summary),
    job: isObject(event.job)
      ? { ...copyFields(event.job, ["payload"]), payload: prompt(event.job.payload) }
      : copy(event.job, 0),
  }),
  subagent_spawned: (event) => ({ ...copyFields(event, ["label", "task"]), label: prompt(event.label), task: prompt(event.task) }),
  // Ours: all of it is made here, and only the texts of skills and files were said by somebody.
  run_labels: (event) => copyFields(event),
  agent_config: (event) => ({
    ...copyFields(event, ["skills", "files"]),
    skills: event.skills.map(withSaidText),
    files: event.files.map(withSaidText),
  }),
  before_compaction: withoutMessages,
  after_compaction: withoutMessages,
  before_reset: withoutMessages,
  heartbeat_prompt_contribution: withoutMessages,
};

function withoutPrompt(event, ballast) {
  const shaped = { ...copyFields(event, ["messages", "prompt"]), messages: ballast.count(event.messages) };
  if (typeof event.prompt === "string") shaped.prompt_chars = event.prompt.length;
  return shaped;
}

function withoutMessages(event, ballast) {
  const shaped = copyFields(event, ["messages"]);
  if (event.messages !== undefined) shaped.messages = ballast.count(event.messages);
  return shaped;
}

function withSaidText({ text, ...facts }) {
  return text === undefined ? facts : { ...facts, text: new Said("system_prompt", text) };
}

function spoken(field) {
  return (event) => ({ ...copyFields(event, [field]), [field]: prompt(event[field]) });
}

function prompt(value) {
  return said("prompts", value);
}

function said(category, value) {
  return value === undefined || value === null ? undefined : new Said(category, copy(value, 0));
}

/** What a message is, and apart from it what it says. */
export function messageOf(message, ballast) {
  if (!isObject(message)) return prompt(message);
  if (message.role === "toolResult") {
    const shaped = copyNamed(message, MESSAGE_FACTS);
    // after_tool_call has just brought it.
    if (ballast.hasToolResult(message.toolCallId)) shaped.content = { clawtrace_ballast: { in: "after_tool_call" } };
    else Object.assign(shaped, toolResult({ content: message.content, details: message.details }));
    return shaped;
  }
  const shaped = {};
  for (const name of Object.keys(message)) {
    const value = message[name];
    if (name === "content") shaped.content = Array.isArray(value) ? value.slice(0, MAX_LIST).map(blockOf) : prompt(value);
    else shaped[name] = MESSAGE_FACTS.includes(name) ? copy(value, 0) : prompt(value);
  }
  return shaped;
}

function blockOf(block) {
  if (!isObject(block) || block.arguments === undefined) return prompt(block);
  return { ...copyFields(block, ["arguments"]), arguments: said("tool_params", block.arguments) };
}

function toolResult(result) {
  if (!isObject(result)) return said("tool_results", result);
  const shaped = {};
  for (const name of Object.keys(result)) {
    const value = result[name];
    if (name === "details" && isObject(value)) {
      shaped.details = new Said("tool_results", copy(value, 0), copyNamed(value, DETAIL_FACTS));
    } else if (typeof value === "boolean" || typeof value === "number") {
      shaped[name] = value;
    } else {
      shaped[name] = said("tool_results", value);
    }
  }
  return shaped;
}

/** The same for a message whichever hook brings it. */
export function messageKey(message) {
  if (!isObject(message)) return String(message);
  return `${message.role}|${message.timestamp}|${message.toolCallId ?? message.responseId ?? message.customType ?? ""}`;
}

/** A copy in which longer texts count as said. */
export function waryCopy(value) {
  if (typeof value === "string" && value.length > MAX_FACT_CHARS) return prompt(value);
  if (value instanceof Said || value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(waryCopy);
  const fields = {};
  for (const [name, field] of Object.entries(copyFields(value))) fields[name] = waryCopy(field);
  return fields;
}
