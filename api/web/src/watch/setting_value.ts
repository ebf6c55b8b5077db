/**
 * Settings of rules between what people type and what the API takes.
 *
 * Upstream: the JSON schema that the API tells for each setting.
 * Downstream: the form of a rule.
 * Guarantee: pure; what cannot be read as the schema's type is sent as it was typed, for the API to refuse by name.
 */
import type { RuleSetting } from "../api/queries";
import { formatValue } from "../kit/format";

interface ValueSchema {
  readonly type?: unknown;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly anyOf?: readonly ValueSchema[];
}

export type SettingKind = "yes_no" | "choice" | "number" | "text" | "list" | "json";

const schemaOf = (setting: RuleSetting): ValueSchema => setting.value_schema;

export function kindOf(setting: RuleSetting): SettingKind {
  const schema = schemaOf(setting);
  if (schema.enum !== undefined) return "choice";
  if (schema.type === "boolean") return "yes_no";
  if (schema.type === "integer" || schema.type === "number") return "number";
  if (schema.type === "array") return "list";
  if (schema.type === "string" || schema.anyOf?.some(({ type }) => type === "string")) return "text";
  return typeof setting.default === "string" ? "text" : typeof setting.default === "number" ? "number" : "json";
}

export function choicesOf(setting: RuleSetting): string[] {
  return (schemaOf(setting).enum ?? []).map(String);
}

const UNITS: Readonly<Record<string, string>> = { s: "seconds", h: "hours", usd: "USD", minutes: "minutes", hours: "hours" };

/** "tool_loop" is "tool loop". */
export function ruleName(rule: string): string {
  return rule.replaceAll("_", " ");
}

/** "limit_usd" is "limit (USD)". */
export function settingName(name: string): string {
  const words = name.split("_");
  const unit = words.length > 1 ? UNITS[words.at(-1)!] : undefined;
  return unit === undefined ? words.join(" ") : `${words.slice(0, -1).join(" ")} (${unit})`;
}

/** What stands in the field. */
export function textOf(value: unknown): string {
  return Array.isArray(value) ? value.map(formatValue).join(", ") : formatValue(value);
}

/** What the API is sent for it. */
export function valueOf(setting: RuleSetting, text: string): unknown {
  switch (kindOf(setting)) {
    case "yes_no":
      return text === "true";
    case "number":
      return text.trim() === "" || Number.isNaN(Number(text)) ? text : Number(text);
    case "list":
      return text
        .split(",")
        .map((word) => word.trim())
        .filter((word) => word !== "");
    case "json":
      try {
        return JSON.parse(text) as unknown;
      } catch {
        return text;
      }
    default:
      return text;
  }
}
