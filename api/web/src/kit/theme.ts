/**
 * Light or dark: as the system says, unless this browser was told otherwise.
 *
 * Upstream: the switch in the shell; `prefers-color-scheme`.
 * Downstream: `data-theme` at the root, which the style sheets and the charts read.
 * Guarantee: a browser that keeps nothing still works.
 */
import { useSyncExternalStore } from "react";

export type ThemeChoice = "system" | "light" | "dark";
export type Theme = "light" | "dark";

const KEY = "clawtrace.theme";
const system = typeof matchMedia === "function" ? matchMedia("(prefers-color-scheme: dark)") : undefined;
const listeners = new Set<() => void>();
let choice: ThemeChoice = stored();

function stored(): ThemeChoice {
  try {
    const kept = localStorage.getItem(KEY);
    return kept === "light" || kept === "dark" ? kept : "system";
  } catch {
    return "system";
  }
}

function theme(): Theme {
  if (choice !== "system") return choice;
  return system?.matches === true ? "dark" : "light";
}

/** Put the theme on the page; called once before the first paint, and whenever it changes. */
export function applyTheme(): void {
  document.documentElement.dataset["theme"] = theme();
  for (const listener of listeners) listener();
}

/** Choose, and keep the choice where the browser lets us. */
export function chooseTheme(next: ThemeChoice): void {
  choice = next;
  try {
    if (next === "system") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, next);
  } catch {
    // Private windows may refuse; the choice then lasts as long as the page.
  }
  applyTheme();
}

system?.addEventListener("change", applyTheme);

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useThemeChoice(): ThemeChoice {
  return useSyncExternalStore(subscribe, () => choice);
}

export function useTheme(): Theme {
  return useSyncExternalStore(subscribe, theme);
}
