/**
 * Keys that work on every page, and the rule that typing is never taken for a key.
 *
 * Upstream: keydown on the document.
 * Downstream: the shell.
 * Guarantee: keys with Ctrl, Alt or Meta, and keys typed into a field, stay the browser's.
 */
import { useEffect, useEffectEvent } from "react";

export type Shortcuts = Readonly<Record<string, () => void>>;

export function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName) || target.shadowRoot !== null)
  );
}

/** Listen while the page is shown. A name of two letters, like "g t", is two keys after one another. */
export function useShortcuts(shortcuts: Shortcuts): void {
  const actionOf = useEffectEvent((before: string, key: string) => shortcuts[`${before} ${key}`] ?? shortcuts[key]);
  useEffect(() => {
    let before = "";
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isTyping(event.target)) return;
      if (document.querySelector("dialog[open]") !== null) return;
      const action = actionOf(before, event.key);
      before = event.key;
      if (action === undefined) return;
      event.preventDefault();
      before = "";
      action();
    };
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, []);
}

/** Put the cursor into the search field of the page; false if it has none. */
export function focusSearch(): boolean {
  const field = document.querySelector<HTMLElement>("[data-search]");
  field?.focus();
  return field !== null;
}

/** Go to the next (1) or previous (-1) line of the page's lists, to what is opened from it; a tree walks by itself. */
export function focusWithin(by: 1 | -1): void {
  const tree = document.querySelector<HTMLElement>("main [role='treegrid']");
  if (tree !== null) {
    tree.focus();
    return;
  }
  const lines = [...document.querySelectorAll("main tbody tr, main .plain-list > li")];
  const openers = lines.map((line) => line.querySelector<HTMLElement>("a[href], button:not(:disabled)")).filter((opener) => opener !== null);
  const at = lines.findIndex((line) => line.contains(document.activeElement));
  const here = openers.findIndex((opener) => lines[at]?.contains(opener) === true);
  const next = openers[here < 0 ? (by > 0 ? 0 : openers.length - 1) : here + by];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}
