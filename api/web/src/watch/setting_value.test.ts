import { expect, test } from "vitest";

import type { RuleSetting } from "../api/queries";
import { choicesOf, kindOf, settingName, textOf, valueOf } from "./setting_value";

const setting = (value_schema: Record<string, unknown>, value: unknown = null): RuleSetting =>
  ({ name: "x", description: "", default: value, value, set_by: "default", value_schema });

test.each([
  [{ type: "boolean" }, true, "yes_no"],
  [{ enum: ["info", "warning"], type: "string" }, "info", "choice"],
  [{ type: "integer", minimum: 1 }, 3, "number"],
  [{ type: "string", pattern: "^[0-9.]+$" }, "5.00", "text"],
  [{ anyOf: [{ type: "number" }, { type: "string" }] }, "2", "text"],
  [{ type: "array", items: { type: "string" } }, ["exec", "read"], "list"],
  [{ type: "object" }, { exec: 3 }, "json"],
])("what is shown is what was told, and comes back the same: %j", (schema, value, kind) => {
  const told = setting(schema, value);
  expect(kindOf(told)).toBe(kind);
  expect(valueOf(told, textOf(value))).toEqual(value);
});

test("what is no number goes out as it was typed, never as 0", () => {
  expect(valueOf(setting({ type: "number" }, 1), "")).toBe("");
  expect(valueOf(setting({ type: "number" }, 1), "1,5")).toBe("1,5");
  expect(valueOf(setting({ type: "object" }, {}), "{broken")).toBe("{broken");
  expect(choicesOf(setting({ enum: ["a", "b"] }))).toEqual(["a", "b"]);
});

test("a name tells its unit", () => {
  expect(["limit_usd", "hold_s", "window_h", "max_same_calls", "action"].map(settingName)).toEqual(["limit (USD)", "hold (seconds)", "window (hours)", "max same calls", "action"]);
});
