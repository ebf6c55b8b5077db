import { expect, test } from "vitest";

import type { ChannelItem } from "../api/queries";
import { KINDS, newSigningKey, targetOf, targetText, textsOf } from "./channel_fields";

const channel = (kind: ChannelItem["kind"], target: Record<string, unknown>): ChannelItem => ({ name: "team", kind, target: { kind, ...target } }) as unknown as ChannelItem;

test("only what was typed, and what the kind has, is sent", () => {
  expect(targetOf("email", { to: "a@example.com, b@example.com", sender: "c@example.com", host: "mail.example.com", port: "2525", password: " ", url: "x" })).toEqual({
    kind: "email",
    to: ["a@example.com", "b@example.com"],
    sender: "c@example.com",
    host: "mail.example.com",
    port: 2525,
  });
  expect(targetOf("email", { port: "mail" })).toEqual({ kind: "email", port: "mail" });
});

test("a change begins with what is known, never with a part of a secret", () => {
  expect(textsOf(channel("slack", { url: "https://hooks.example.com/…" }))).toEqual({});
  expect(textsOf(channel("email", { to: ["a@example.com"], port: 587, username: "" }))).toEqual({ to: "a@example.com", port: "587", username: "" });
});

test("where it leads is one line", () => {
  expect(targetText(channel("slack", { url: "https://hooks.example.com/…" }))).toBe("https://hooks.example.com/…");
  expect(targetText(channel("telegram", { chat_id: "@us", url: "https://api.example.com/…" }))).toBe("chat id @us · https://api.example.com/…");
});

test("a signing key is 32 bytes behind its prefix, another one each time", () => {
  const key = newSigningKey();
  expect(atob(key.replace(/^whsec_/, ""))).toHaveLength(32);
  expect(newSigningKey()).not.toBe(key);
  expect(KINDS.webhook.fields.some((field) => field.isMade)).toBe(true);
});
