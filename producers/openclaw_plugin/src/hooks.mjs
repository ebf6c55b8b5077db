/**
 * Which hooks are captured, and why the others are not.
 *
 * Upstream: OpenClaw 2026.9, 42 typed hooks.
 * Downstream: `index.mjs` registers them.
 * Guarantee: a list; each name is one that OpenClaw 2026.9.6 knows.
 */

export const CAPTURED_HOOKS = [
  "session_start",
  "session_end",
  "before_reset",
  "before_agent_reply",
  "before_model_resolve",
  "agent_turn_prepare",
  "before_prompt_build",
  "before_agent_run",
  "llm_input",
  "model_call_started",
  "model_call_ended",
  "before_message_write",
  "before_tool_call",
  "after_tool_call",
  "before_agent_finalize",
  "agent_end",
  "llm_output",
  "subagent_spawned",
  "subagent_progress",
  "subagent_ended",
  "subagent_delivery_target",
  "before_compaction",
  "after_compaction",
  "heartbeat_prompt_contribution",
  "cron_changed",
  "cron_reconciled",
  "message_received",
  "message_sending",
  "message_sent",
  "before_dispatch",
  "reply_dispatch",
  "reply_payload_sending",
  "skill_changed",
  "skill_proposal_changed",
  "gateway_start",
  "gateway_stop",
];

/**
 * Left alone: tool_result_persist (before_message_write brings the same message), resolve_exec_env (says nothing new and
 * may change the environment of commands), inbound_claim, before_install, skill_proposal_evaluate and
 * channel_pairing_requested (gates for others to decide; a handler there changes what OpenClaw does).
 */

/** Events that the plugin makes of what it reads after the hook llm_input (`labels/labeller.mjs`). */
export const LABEL_EVENTS = ["run_labels", "agent_config"];

/** OpenClaw gives these only to plugins with hooks.allowConversationAccess. */
export const CONVERSATION_HOOKS = [
  "before_model_resolve",
  "agent_turn_prepare",
  "before_prompt_build",
  "before_agent_reply",
  "llm_input",
  "llm_output",
  "before_agent_finalize",
  "agent_end",
  "before_agent_run",
];

/** The kinds of diagnostic events that say more than the hooks. */
export const DIAGNOSTIC_TYPES = [
  "harness.run.started",
  "harness.run.completed",
  "model.call.completed",
  "model.call.error",
  "model.failover",
  "tool.execution.blocked",
  "tool.loop",
  "session.stuck",
];
