/**
 * What each kind of channel is asked for.
 *
 * Upstream: the kinds of the API's contract.
 * Downstream: the form of a channel.
 * Guarantee: pure; fields that are left empty are not sent, so a change keeps the secrets that are not typed again.
 */
import type { ChannelItem, ChannelRequest } from "../api/queries";
import { textOf } from "./setting_value";

export type ChannelKind = ChannelItem["kind"];
type Target = ChannelRequest["target"];
type TargetField = Exclude<keyof Target, "kind">;

export interface ChannelField {
  readonly name: TargetField;
  readonly label: string;
  readonly hint?: string;
  readonly isSecret?: true;
  readonly isOptional?: true;
  /** Proposed by the form, for the person to hand to the receiver. */
  readonly isMade?: true;
  readonly choices?: readonly string[];
}

const url = (label: string, hint?: string): ChannelField => ({ name: "url", label, isSecret: true, ...(hint === undefined ? {} : { hint }) });

export const KINDS: Readonly<Record<ChannelKind, { readonly name: string; readonly fields: readonly ChannelField[] }>> = {
  webhook: {
    name: "Webhook",
    fields: [
      url("Address", "is sent a signed POST for each message"),
      { name: "secret", label: "Key of the signature", hint: "whsec_ and base64 of 24 to 64 bytes; give it to the receiver, too", isSecret: true, isMade: true },
    ],
  },
  slack: { name: "Slack", fields: [url("Address of the incoming webhook")] },
  discord: { name: "Discord", fields: [url("Address of the webhook")] },
  email: {
    name: "E-mail",
    fields: [
      { name: "to", label: "To", hint: "several with commas between" },
      { name: "sender", label: "From" },
      { name: "host", label: "Mail server" },
      { name: "port", label: "Port", hint: "empty: 587", isOptional: true },
      { name: "security", label: "Encryption", choices: ["starttls", "tls", "none"] },
      { name: "username", label: "Login", isOptional: true },
      { name: "password", label: "Password", isSecret: true, isOptional: true },
    ],
  },
  pagerduty: { name: "PagerDuty", fields: [{ name: "routing_key", label: "Integration key", isSecret: true }] },
  telegram: {
    name: "Telegram",
    fields: [
      { name: "bot_token", label: "Token of the bot", isSecret: true },
      { name: "chat_id", label: "Chat", hint: "its number, or @name" },
    ],
  },
  alertmanager: {
    name: "Alertmanager",
    fields: [
      url("Base address", "without /api/v2"),
      { name: "username", label: "Login", isOptional: true },
      { name: "password", label: "Password", isSecret: true, isOptional: true },
      { name: "resend_seconds", label: "Send again every, in seconds", hint: "empty: 60", isOptional: true },
    ],
  },
};

/** What is sent of the typed texts. */
export function targetOf(kind: ChannelKind, texts: Readonly<Record<string, string>>): Target {
  const target: Record<string, unknown> = { kind };
  for (const { name } of KINDS[kind].fields) {
    const text = (texts[name] ?? "").trim();
    if (text === "") continue;
    if (name === "port" || name === "resend_seconds") target[name] = Number.isNaN(Number(text)) ? text : Number(text);
    else if (name === "to") target[name] = text.split(",").map((address) => address.trim());
    else target[name] = text;
  }
  return target as Target;
}

/** What the form begins with when a channel is changed: everything but its secrets, of which only a part is known. */
export function textsOf(channel: ChannelItem): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const { name, isSecret } of KINDS[channel.kind].fields) {
    const value = channel.target[name];
    if (isSecret !== true && value !== undefined && value !== null) texts[name] = textOf(value);
  }
  return texts;
}

/** Where it leads, in one line. */
export function targetText(channel: ChannelItem): string {
  const values = Object.entries(channel.target).filter(([name, value]) => name !== "kind" && value !== "" && value !== null && typeof value !== "boolean");
  return values.map(([name, value]) => (name === "url" || name === "to" ? textOf(value) : `${name.replaceAll("_", " ")} ${textOf(value)}`)).join(" · ");
}

/** A new key for the signatures of a webhook. */
export function newSigningKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  return `whsec_${btoa(String.fromCharCode(...bytes))}`;
}
